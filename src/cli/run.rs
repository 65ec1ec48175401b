//! `kafkatos3 CONFIG`: archive. Puts configuration, supervisor and workers together.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::{Exit, config_error_text, end};
use crate::config::{Changes, Config, ConfigError, Loaded, Texts, Uptake};
use crate::legacy;
use crate::logging;
use crate::status::Recorder;
use crate::supervisor::{
    self, Comparison, FleetSpec, Nice, Policy, Role, RoleSpec, RunUntil, Settings, SpecError,
    WorkerContext,
};
use crate::sys::signals;
use crate::worker::{self, Context, InForce};

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Stop when everything that was there at the start is archived.
    pub exit_at_end: bool,
}

/// Archives until it is told to stop.
pub(super) fn run(path: &Path, options: RunOptions) -> ExitCode {
    if let Err(error) = signals::hold_back() {
        return end(Exit::Internal, &format!("{}\n", error.in_full())).into();
    }
    let (config, warnings) = match Config::load(path) {
        Ok(loaded) => (loaded.config, loaded.warnings),
        Err(error) => return end(Exit::of_config(&error), &config_error_text(&error)).into(),
    };
    let main = &config.main;
    logging::start(main.log_level, main.log_format, main.instance.as_str());
    for warning in warnings {
        log::warn!(event = "config"; "{}", warning.in_file(path));
    }
    log::debug!("{}", config.redacted());
    let options =
        supervisor::RunOptions { exit_at_end: options.exit_at_end, policy: Policy::default() };
    supervisor::run(|| read_spec(path), &options, work)
}

/// A configuration that is fit for use.
#[derive(Clone)]
struct Checked {
    config: Arc<Config>,
    /// For workers that run already.
    texts: Arc<Texts>,
}

impl Settings for Checked {
    fn compare(&self, new: &Self) -> Comparison {
        let Changes { settings, uptakes } = self.config.changes(&new.config);
        let of = |wanted| {
            Role::ALL.into_iter().filter(move |role| worker::uptake(*role, uptakes) == wanted)
        };
        Comparison {
            changes: settings.iter().map(ToString::to_string).collect(),
            live: of(Uptake::Live).collect(),
            replace: of(Uptake::Replace).collect(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.texts.to_bytes()
    }

    fn in_force(&self) {
        adopt_logging(&self.config);
    }
}

fn adopt_logging(config: &Config) {
    logging::set(config.main.log_level, config.main.log_format);
}

fn read_spec(path: &Path) -> Result<FleetSpec<Checked>, SpecError> {
    let refused = |error: ConfigError| SpecError {
        code: Exit::of_config(&error).code(),
        message: config_error_text(&error).trim_end().to_owned(),
    };
    let Loaded { config, texts, warnings: _ } = Config::load(path).map_err(refused)?;
    worker::refuse(&config).map_err(|why| SpecError { code: Exit::Config.code(), message: why })?;
    let role =
        |role, count: u16, nice| RoleSpec { role, count: count.into(), nice: Nice::new(nice) };
    let takes_over = legacy::scan::is_anything_left(&config.main.working_directory);
    let roles = vec![
        role(Role::Takeover, takes_over.into(), config.compression.nice_level),
        role(Role::Consumer, config.consumer.processes, config.consumer.nice_level),
        role(Role::Compressor, config.compression.workers, config.compression.nice_level),
        role(Role::Uploader, config.upload.workers, 0),
    ];
    Ok(FleetSpec {
        working_directory: config.main.working_directory.clone(),
        instance: config.main.instance.to_string(),
        shutdown_timeout: config.main.shutdown_timeout,
        settings: Checked { config: Arc::new(config), texts: Arc::new(texts) },
        roles,
    })
}

fn work(role: Role, index: usize, given: WorkerContext<Checked>) -> u8 {
    let WorkerContext { settings, updates, signals, until, reporter } = given;
    let Checked { config, texts: _ } = settings;
    logging::set_worker(role.to_string(), index);
    let exit_at_end = until == RunUntil::End;
    let main = &config.main;
    let status =
        Recorder::begin(&main.working_directory, main.instance.as_str(), &role.to_string(), index);
    let in_force = InForce::new(config, updates, adopt_logging);
    worker::run(&Context { role, in_force, index, exit_at_end, signals, reporter, status })
}

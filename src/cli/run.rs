//! `kafkatos3 CONFIG`: archive. Puts configuration, supervisor and workers together.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::{Exit, config_error_text, end, say, warnings_text};
use crate::config::{Config, ConfigError};
use crate::status::Recorder;
use crate::supervisor::{
    self, FleetSpec, Nice, Policy, Role, RoleSpec, RunUntil, SpecError, WorkerContext,
};
use crate::worker::{self, Context};

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Stop when everything that was there at the start is archived.
    pub exit_at_end: bool,
}

/// Archives until it is told to stop.
pub(super) fn run(path: &Path, options: RunOptions) -> ExitCode {
    let config = match Config::load(path) {
        Ok(loaded) => {
            let warnings = warnings_text(path, &loaded.warnings);
            if say(&mut std::io::stderr(), &warnings).is_err() {
                return Exit::CantCreate.into();
            }
            loaded.config
        }
        Err(error) => return end(Exit::of_config(&error), &config_error_text(&error)).into(),
    };
    super::logging::start(config.main.log_level);
    log::debug!("{}", config.redacted());
    let options =
        supervisor::RunOptions { exit_at_end: options.exit_at_end, policy: Policy::default() };
    supervisor::run(|| read_spec(path), &options, work)
}

fn read_spec(path: &Path) -> Result<FleetSpec<Arc<Config>>, SpecError> {
    let refused = |error: ConfigError| SpecError {
        code: Exit::of_config(&error).code(),
        message: config_error_text(&error).trim_end().to_owned(),
    };
    let config = Arc::new(Config::load(path).map_err(refused)?.config);
    let role = |role, count: u16, nice| RoleSpec {
        role,
        count: count.into(),
        nice: Nice::new(nice),
        settings: config.clone(),
    };
    let roles = vec![
        role(Role::Consumer, config.consumer.processes, config.consumer.nice_level),
        role(Role::Compressor, config.compression.workers, config.compression.nice_level),
        role(Role::Uploader, config.upload.workers, 0),
    ];
    Ok(FleetSpec {
        working_directory: config.main.working_directory.clone(),
        instance: config.main.instance.to_string(),
        shutdown_timeout: config.main.shutdown_timeout,
        roles,
    })
}

fn work(role: Role, index: usize, given: WorkerContext<Arc<Config>>) -> u8 {
    let WorkerContext { settings, signals, until, reporter } = given;
    super::logging::set_level(settings.main.log_level);
    let exit_at_end = until == RunUntil::End;
    let main = &settings.main;
    let status =
        Recorder::begin(&main.working_directory, main.instance.as_str(), &role.to_string(), index);
    let ctx = Context { config: settings, index, exit_at_end, signals, reporter, status };
    worker::run(role, &ctx)
}

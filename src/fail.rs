//! Steps at which tests kill the process, or let the operation fail.
//!
//! What counts in the order of things (a rename, a sync, a create, a lock, a request to the store,
//! a commit) is carried out as a `Step` that has a name: `step!("tip.rename").around(|| ...)`.
//! A test walks over the sources and finds what is not (`tests/integration/death`).
//!
//! Without the feature `failpoints`, which no release has, a step does nothing but its operation,
//! and the names are not in the program. With it, all names are in a registry (`points`), and
//! `KAFKATOS3_FAIL` names a directory through which a process is told what to do:
//!
//! | file | what |
//! |---|---|
//! | `armed/STEP=die` | dies (SIGKILL) before the operation, once |
//! | `armed/STEP=die-after` | dies when it is done, once |
//! | `armed/STEP=enospc`, `armed/STEP=eio` | the operation is not tried and fails so, once |
//! | `armed/STEP=lost` | the operation is done, and fails with EIO nevertheless, once |
//! | `armed/STEP=eio.always` | as `eio`, until the file is removed |
//! | `fired/STEP=...` | where a file of `armed/` goes to when its time has come |
//! | `census` | a line for each step that a process came to |
//!
//! This is the lowest room: it uses no other, and all may use it.

use std::io;

#[cfg(feature = "failpoints")]
pub use on::{POINTS, Point, points};

/// An operation with a name, which tests may interrupt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    #[cfg(feature = "failpoints")]
    point: &'static Point,
}

/// A [`Step`] of this name, unique in the whole program: `step!("tip.rename")`.
#[cfg(feature = "failpoints")]
macro_rules! step {
    ($name:expr) => {{
        #[expect(unsafe_code, reason = "a section of the program's file")]
        #[linkme::distributed_slice($crate::fail::POINTS)]
        static POINT: $crate::fail::Point = $crate::fail::Point::step($name);
        $crate::fail::Step::at(&POINT)
    }};
}

#[cfg(not(feature = "failpoints"))]
macro_rules! step {
    ($name:expr) => {
        $crate::fail::Step::NONE
    };
}

/// A moment of this name at which nothing can fail, but the process may die: `moment!("left")`.
#[cfg(feature = "failpoints")]
macro_rules! moment {
    ($name:expr) => {{
        #[expect(unsafe_code, reason = "a section of the program's file")]
        #[linkme::distributed_slice($crate::fail::POINTS)]
        static POINT: $crate::fail::Point = $crate::fail::Point::moment($name);
        $crate::fail::Step::at(&POINT).pass();
    }};
}

#[cfg(not(feature = "failpoints"))]
macro_rules! moment {
    ($name:expr) => {};
}

pub(crate) use {moment, step};

impl Step {
    /// Carries out the operation.
    pub(crate) fn around<T, E: From<io::Error>>(
        self,
        operation: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.around_as(E::from, operation)
    }

    /// The same, where errors are of another kind.
    pub(crate) fn around_as<T, E>(
        self,
        error: impl Fn(io::Error) -> E,
        operation: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.before().map_err(&error)?;
        let done = operation()?;
        self.after().map_err(error)?;
        Ok(done)
    }

    /// The same for what takes its time.
    pub(crate) async fn around_asking<T, E>(
        self,
        error: impl Fn(io::Error) -> E,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.before().map_err(&error)?;
        let done = operation.await?;
        self.after().map_err(error)?;
        Ok(done)
    }
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with the feature")]
impl Step {
    pub(crate) const NONE: Self = Self {};

    #[inline]
    const fn before(self) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    const fn after(self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "failpoints")]
mod on {
    use std::fs::{self, OpenOptions};
    use std::io::{self, Write as _};
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::signal::{Signal, raise};

    use super::Step;

    /// All that there are.
    #[linkme::distributed_slice]
    pub static POINTS: [Point];

    /// A name in the registry.
    #[derive(Debug)]
    pub struct Point {
        name: &'static str,
        fails: bool,
        /// Whether this process, or the one that it was forked from, was here.
        met: AtomicBool,
    }

    impl Point {
        #[doc(hidden)]
        #[must_use]
        pub const fn step(name: &'static str) -> Self {
            Self { name, fails: true, met: AtomicBool::new(false) }
        }

        #[doc(hidden)]
        #[must_use]
        pub const fn moment(name: &'static str) -> Self {
            Self { name, fails: false, met: AtomicBool::new(false) }
        }
    }

    /// The name of each, and whether it is an operation, which may fail; sorted.
    #[must_use]
    pub fn points() -> Vec<(&'static str, bool)> {
        let mut points: Vec<_> = POINTS.iter().map(|point| (point.name, point.fails)).collect();
        points.sort_unstable();
        points
    }

    impl Step {
        pub(crate) const fn at(point: &'static Point) -> Self {
            Self { point }
        }

        /// Goes on, or dies.
        pub(crate) fn pass(self) {
            let Some(dir) = &*DIR else { return };
            self.note(dir);
            self.die_if(dir, "die");
        }

        pub(super) fn before(self) -> io::Result<()> {
            let Some(dir) = &*DIR else { return Ok(()) };
            self.note(dir);
            self.die_if(dir, "die");
            if self.fires(dir, "enospc") {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            let always = dir.join("armed").join(format!("{}=eio.always", self.point.name));
            if self.fires(dir, "eio") || always.exists() {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            Ok(())
        }

        pub(super) fn after(self) -> io::Result<()> {
            let Some(dir) = &*DIR else { return Ok(()) };
            self.die_if(dir, "die-after");
            if self.fires(dir, "lost") {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            Ok(())
        }

        fn note(self, dir: &Path) {
            if !self.point.met.swap(true, Ordering::Relaxed) {
                let census = OpenOptions::new().create(true).append(true).open(dir.join("census"));
                let line = format!("{}\n", self.point.name);
                let written = census.and_then(|mut file| file.write_all(line.as_bytes()));
                assert!(written.is_ok(), "the census can't be written: {written:?}");
            }
        }

        fn die_if(self, dir: &Path, action: &str) {
            if self.fires(dir, action) {
                let _ = raise(Signal::SIGKILL);
                std::process::abort();
            }
        }

        /// Whether it was armed, and this is the one that comes to it first.
        #[expect(clippy::disallowed_methods, reason = "the tests' own files")]
        fn fires(self, dir: &Path, action: &str) -> bool {
            let name = format!("{}={action}", self.point.name);
            fs::rename(dir.join("armed").join(&name), dir.join("fired").join(&name)).is_ok()
        }
    }

    static DIR: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("KAFKATOS3_FAIL").map(PathBuf::from));

    #[test]
    fn names_are_unique() {
        let names: Vec<_> = points().into_iter().map(|(name, _)| name).collect();
        let twice = names.windows(2).filter(|two| two[0] == two[1]).collect::<Vec<_>>();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

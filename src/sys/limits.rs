//! Limits of the process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::SysError;

/// Raises the number of files that may be open from the soft limit to the hard one; gives it back.
///
/// Children inherit it.
pub fn raise_open_files() -> Result<u64, SysError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(SysError::call("reading the limit of open files"))?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
            .map_err(SysError::call("raising the limit of open files"))?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (raised, raised));
    }
}

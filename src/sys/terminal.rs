//! The terminal that a person sits at: its size, and keys as they are typed.

use std::io::{self, IsTerminal as _};

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};

/// Standard input as a terminal that gives each key at once and shows none; dropping this leaves it
/// as it was.
#[derive(Debug)]
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// Takes the terminal; `None` if standard input is none. Ctrl-C stays a signal.
    #[must_use]
    pub fn open() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut now = before.clone();
        now.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        // Reading returns with what is there, be it nothing.
        for (index, value) in
            [(SpecialCharacterIndices::VMIN, 0), (SpecialCharacterIndices::VTIME, 0)]
        {
            if let Some(place) = now.control_chars.get_mut(index as usize) {
                *place = value;
            }
        }
        tcsetattr(&stdin, SetArg::TCSANOW, &now).ok()?;
        Some(Self { before })
    }

    /// What was typed since the last call; does not wait.
    #[must_use]
    pub fn typed(&self) -> Vec<u8> {
        let mut buffer = [0; 64];
        let length = nix::unistd::read(io::stdin(), &mut buffer).unwrap_or(0);
        buffer.get(..length).unwrap_or_default().to_vec()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

/// Lines and columns of the terminal that standard output is; `None` if it is none.
#[must_use]
pub fn size() -> Option<(usize, usize)> {
    use terminal_size::{Height, Width, terminal_size_of};
    let (Width(columns), Height(lines)) = terminal_size_of(io::stdout())?;
    Some((lines.into(), columns.into()))
}

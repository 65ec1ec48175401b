//! Reads what `strace -f -y -xx` wrote: the calls that change files below some folders.

use std::collections::HashMap;

use super::disk::Call;

/// The calls that are traced.
pub(super) const CALLS: &str = "open,openat,creat,write,pwrite64,writev,pwritev,ftruncate,fsync,\
     fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat";

/// The calls that succeeded on paths below `folders`, in the order in which they ended.
///
pub(super) fn read(trace: &str, folders: &[&str]) -> Vec<Call> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            begun.insert(pid, start);
            continue;
        }
        let whole = match call.split_once(" resumed>") {
            Some((head, rest)) if head.starts_with("<... ") => {
                begun.remove(pid).expect("a call that was begun").to_owned() + rest
            }
            _ => call.to_owned(),
        };
        calls.extend(
            understand(&whole)
                .filter(|call| folders.iter().any(|folder| call.path().starts_with(folder))),
        );
    }
    calls
}

/// One line without its process; `None` if it failed or changes nothing.
fn understand(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    let strings = strings(arguments);
    let text = |index: usize| {
        let bytes: &Vec<u8> = strings.get(index).expect("a path in quotes");
        String::from_utf8(bytes.clone()).expect("a UTF-8 path")
    };
    let open_file = || {
        let (_, rest) = arguments.split_once('<').expect("a descriptor with its path");
        let (path, _) = rest.split_once('>').expect("a descriptor with its path");
        String::from_utf8(unhex(path)).expect("a UTF-8 path")
    };
    Some(match name {
        "open" | "openat" | "creat" => {
            if !arguments.contains("O_CREAT") {
                return None;
            }
            if arguments.contains("O_EXCL") {
                Call::Create(text(0))
            } else {
                // Whether it was there is not known.
                Call::Other { name: name.to_owned(), path: text(0) }
            }
        }
        "write" | "writev" => Call::Append(open_file(), strings.concat()),
        "pwrite64" | "pwritev" | "ftruncate" => {
            Call::Other { name: name.to_owned(), path: open_file() }
        }
        "fsync" | "fdatasync" => Call::Sync(open_file()),
        "rename" | "renameat" | "renameat2" => Call::Rename { old: text(0), new: text(1) },
        "link" | "linkat" => Call::Link { old: text(0), new: text(1) },
        "unlink" | "unlinkat" => Call::Unlink(text(0)),
        "mkdir" | "mkdirat" => Call::MakeFolder(text(0)),
        _ => return None,
    })
}

/// The arguments in quotes.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unhex).collect()
}

/// `\x2f\x74` is `/t`; a deleted file's path ends in plain text.
fn unhex(text: &str) -> Vec<u8> {
    let bytes = text.split("\\x").skip(1);
    bytes
        .map(|hex| u8::from_str_radix(hex.get(..2).unwrap_or_default(), 16).expect("hex"))
        .collect()
}

#[test]
fn lines_are_understood() {
    let trace = concat!(
        "7 openat(AT_FDCWD<\\x2f\\x77>, \"\\x2f\\x64\\x2f\\x74\", O_WRONLY|O_CREAT|O_EXCL, 0666) = 3<\\x2f>\n",
        "7 write(3<\\x2f\\x64\\x2f\\x74>, \"\\x61\\x0a\", 2 <unfinished ...>\n",
        "8 unlink(\"\\x2f\\x65\\x2f\\x74\") = 0\n",
        "8 mkdir(\"\\x2f\\x64\", 0777) = -1 EEXIST (File exists)\n",
        "7 <... write resumed>)     = 2\n",
        "7 fsync(3<\\x2f\\x64\\x2f\\x74>) = 0\n",
        "7 link(\"\\x2f\\x64\\x2f\\x74\", \"\\x2f\\x64\\x2f\\x78\") = 0\n",
        "7 +++ exited with 0 +++\n",
    );
    let t = || "/d/t".to_owned();
    let expected = [
        Call::Create(t()),
        Call::Append(t(), b"a\n".to_vec()),
        Call::Sync(t()),
        Call::Link { old: t(), new: "/d/x".to_owned() },
    ];
    assert_eq!(read(trace, &["/d/"]), expected);
}

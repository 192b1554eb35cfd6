//! The auditor's path in `src/lib.rs`: complete, and short enough to be read.

use std::collections::BTreeMap;
use std::fs;

use super::{code, root, rust_files};

/// Lines of code of all files on the path, comments, blank lines and unit tests not counted. To be lowered with them.
const LINES_MAX: usize = 2_900;

/// Who names one of these has a socket, a secret or TLS in hand.
const MARKS: [&str; 9] = [
    "rustls",
    "TcpStream",
    "TcpListener",
    "ureq::",
    "tiny_http::",
    "BearerToken",
    "Reloaded",
    "Authorization",
    "AUTHORIZATION",
];

/// Files with such a mark that are not on the path, and why.
const APART: [(&str, &str); 9] = [
    ("src/demo.rs", "exporters of its own, on loopback"),
    ("src/kubernetes/body.rs", "decompresses within a limit"),
    ("src/kubernetes/watch.rs", "a parser; client.rs asks"),
    ("src/scrape/error.rs", "words"),
    ("src/server/listener/connections.rs", "closes sockets"),
    ("src/server/listener/mod.rs", "accepts; reads nothing"),
    (
        "src/server/listener/requests.rs",
        "checked heads, no secrets",
    ),
    ("src/server/mod.rs", "hands the listening socket on"),
    ("src/server/response.rs", "what is sent"),
];

/// The code of a file without its unit tests.
fn own_code(text: &str) -> Vec<&str> {
    let own = text.split("#[cfg(test)]\nmod ").next().unwrap();
    code(own).filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn the_auditors_path_is_complete_and_short() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let (_, section) = lib.split_once("# The auditor's path").unwrap();
    let (section, _) = section.split_once("//! # ").unwrap();
    let path: Vec<&str> = section
        .split('`')
        .filter(|name| name.starts_with("src/"))
        .collect();
    let texts: BTreeMap<String, String> = rust_files("src")
        .into_iter()
        .map(|(file, text)| (file.to_str().unwrap().to_owned(), text))
        .collect();
    let lines: Vec<(&str, usize)> = path
        .iter()
        .map(|file| {
            let text = texts.get(*file);
            let text = text.unwrap_or_else(|| panic!("no {file}: mend the path in src/lib.rs"));
            (*file, own_code(text).len())
        })
        .collect();
    let sum: usize = lines.iter().map(|(_, lines)| lines).sum();
    assert!(
        sum <= LINES_MAX,
        "{sum} lines on the auditor's path, {LINES_MAX} at most: {lines:#?}"
    );
    let apart = APART.map(|(file, _)| file);
    for (file, text) in &texts {
        let mark = MARKS.into_iter().find(|mark| {
            let mut lines = own_code(text).into_iter();
            lines.any(|line| line.contains(mark))
        });
        let known = path.contains(&file.as_str()) || apart.contains(&file.as_str());
        if let Some(mark) = mark {
            assert!(
                known,
                "{file} names {mark}: add it to \"The auditor's path\" in src/lib.rs or, if an auditor need not read \
                 it, with the reason to APART in tests/tidy/audit.rs"
            );
        }
    }
}

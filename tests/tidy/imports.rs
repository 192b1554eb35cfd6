//! Which file of `src` names which: read from the paths in the code, whether they are in a `use`, in one of its
//! groups or in an expression.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{code, root, rust_files};

/// Path of a module or an item below the crate, such as `["server", "route"]`.
type Names = Vec<String>;

/// Who may import whom: the code map in `src/lib.rs`. A row is "[`module`] | what it is for | `module`, `module`".
fn allowed_imports() -> BTreeMap<String, BTreeSet<String>> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let row = |row: &str| {
        let (room, rest) = row.split_once("`]").unwrap();
        let (_, may) = rest.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        let may = may.split('`').skip(1).step_by(2).map(str::to_owned);
        (room.to_owned(), may.collect())
    };
    rows.map(row).collect()
}

/// Files that wire the rooms and belong to none.
const OUTSIDE_ROOMS: [&str; 5] = ["lib", "logging", "main", "signals", "wiring"];

/// Pairs that still import each other. None may be added.
const KNOWN_PAIRS: &[(&str, &str)] = &[];

/// The module that a file is: `src/server/mod.rs` and `src/server.rs` are both `["server"]`.
fn module(path: &Path) -> Names {
    let path = path.strip_prefix("src").unwrap().with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name != "mod").collect()
}

/// All paths with a `::` in the code, with those of a group written out: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut paths = Vec::new();
    // For each open brace the path before its members, or nothing if it is no group.
    let mut groups: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in code.chars().chain([' ']) {
        if is_part(c) {
            word.push(c);
            continue;
        }
        let path = groups.last().cloned().unwrap_or_default() + &word;
        match c {
            '{' if word.ends_with("::") => groups.push(path),
            '{' => groups.push(String::new()),
            _ if !word.is_empty() => paths.push(path),
            _ => {}
        }
        if c == '}' {
            groups.pop();
        }
        word.clear();
    }
    paths.retain(|path| path.contains("::"));
    paths
}

/// What the code of a module names in this crate, from the crate's root on.
fn imports(module: &Names, code: &str, modules: &BTreeSet<Names>) -> BTreeSet<Names> {
    let mut imports = BTreeSet::new();
    for path in paths(code) {
        let mut names: Vec<&str> = path.split("::").collect();
        let mut full = module.clone();
        let child = [module.as_slice(), &[names[0].to_owned()]].concat();
        match names[0] {
            "crate" => full.clear(),
            "self" | "super" => {}
            _ if modules.contains(&child) => {}
            _ => continue,
        }
        while let Some("crate" | "self" | "super") = names.first().copied() {
            if names.remove(0) == "super" {
                full.pop().expect("no module is above the crate");
            }
        }
        full.extend(names.into_iter().map(str::to_owned));
        imports.insert(full);
    }
    imports
}

/// Every module of the library and the binary with its file, its code and that of its tests.
fn modules() -> BTreeMap<Names, (PathBuf, String, String)> {
    let files = rust_files("src").into_iter().map(|(path, text)| {
        let text: String = code(&text).flat_map(|line| [line, "\n"]).collect();
        let (own, tests) = text.split_once("#[cfg(test)]\nmod ").unwrap_or((&text, ""));
        (module(&path), (path, own.to_owned(), tests.to_owned()))
    });
    files.collect()
}

#[test]
fn a_path_is_read_from_every_place() {
    let module = |path: &str| -> Names { path.split("::").map(str::to_owned).collect() };
    let modules =
        BTreeSet::from(["server", "server::listener", "server::listener::head"].map(module));
    let check = |from: &str, code: &str, expected: &[&str]| {
        let expected = expected.iter().map(|path| module(path)).collect();
        assert_eq!(imports(&module(from), code, &modules), expected, "{code}");
    };
    check("server", "use crate::config::Config;", &["config::Config"]);
    check("server", "use crate::{demo, config};", &["demo", "config"]);
    let nested = "use crate::{\n    demo::{self, Demo},\n    config,\n};\nuse std::{fmt, io};";
    check("server", nested, &["demo::self", "demo::Demo", "config"]);
    let climbing = "fn f() -> super::super::super::config::Config { super::refusal::none() }";
    let found = ["config::Config", "server::listener::refusal::none"];
    check("server::listener::head", climbing, &found);
    let children = "use listener::{Response, head};\nuse std::io;\nfn f() { State::Up }";
    check(
        "server",
        children,
        &["server::listener::Response", "server::listener::head"],
    );
}

#[test]
fn rooms_import_only_what_they_may() {
    let may = allowed_imports();
    let files = modules();
    let names: BTreeSet<Names> = files.keys().cloned().collect();
    for (module, (path, own, tests)) in &files {
        let room = module[0].as_str();
        let Some(allowed) = may.get(room) else {
            assert!(
                OUTSIDE_ROOMS.contains(&room),
                "no row for {room} in the code map of src/lib.rs"
            );
            continue;
        };
        let inner = [module.as_slice(), &["tests".to_owned()]].concat();
        let own = imports(module, own, &names);
        for import in own.into_iter().chain(imports(&inner, tests, &names)) {
            let name = import[0].as_str();
            let is_item = !may.contains_key(name) && !name.is_empty();
            let known = is_item || name == room || allowed.contains(name);
            assert!(
                known,
                "{}: {room} must not import {name} (code map of src/lib.rs)",
                path.display()
            );
        }
    }
}

/// A folder's `mod.rs` and the files beside it make one room and may name each other.
#[test]
fn no_two_files_import_each_other() {
    let files = modules();
    let names: BTreeSet<Names> = files.keys().cloned().collect();
    let mut edges = BTreeSet::new();
    for (module, (_, own, _)) in &files {
        for mut import in imports(module, own, &names) {
            while !import.is_empty() && !names.contains(&import) {
                import.pop();
            }
            edges.insert((module.clone(), import));
        }
    }
    let pairs = edges.iter().filter(|(from, to)| {
        let is_parent = to.starts_with(from) && to.len() == from.len() + 1;
        from < to && !is_parent && edges.contains(&(to.clone(), from.clone()))
    });
    let file = |module: &Names| files[module].0.to_str().unwrap().to_owned();
    let pairs: Vec<(String, String)> = pairs.map(|(from, to)| (file(from), file(to))).collect();
    let is_known = |(a, b): &&(String, String)| KNOWN_PAIRS.contains(&(a.as_str(), b.as_str()));
    let new: Vec<_> = pairs.iter().filter(|pair| !is_known(pair)).collect();
    assert!(
        new.is_empty(),
        "these import each other; move what both need into a file of its own: {new:#?}"
    );
}

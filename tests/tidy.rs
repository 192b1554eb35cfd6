//! The layout, the documents and the imports, compared with the code.

use std::fs;
use std::path::{Path, PathBuf};

mod audit;
mod documents;
mod imports;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!files.is_empty());
    files
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn every_file_says_at_its_top_what_it_is_and_is_short() {
    for (path, text) in [rust_files("src"), rust_files("tests")].concat() {
        assert!(
            text.starts_with("//! "),
            "{}: no //! at the top",
            path.display()
        );
        let lines = text.lines().count();
        let most = if path.starts_with("src") { 400 } else { 600 };
        assert!(
            lines <= most,
            "{}: {lines} lines, {most} at most",
            path.display()
        );
    }
}

#[test]
fn no_line_is_longer_than_120_columns() {
    let mut long = Vec::new();
    for (path, text) in [rust_files("src"), rust_files("tests")].concat() {
        let path = path.to_str().unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > 120 {
                long.push(format!("{path}:{number}"));
            }
        }
    }
    assert!(long.is_empty(), "longer than 120 columns: {long:#?}");
}

#[test]
fn a_module_with_children_is_a_folder_with_mod_rs() {
    for (path, _) in rust_files("src") {
        let folder = root().join(path.with_extension(""));
        assert!(
            !folder.is_dir(),
            "{}: move it to mod.rs in the folder of its name",
            path.display()
        );
    }
}

#[test]
fn every_queue_has_a_bound() {
    for (path, text) in rust_files("src") {
        let mut lines = code(&text);
        let found = lines.find(|line| line.contains("unbounded") || line.contains("mpsc::channel"));
        assert_eq!(found, None, "{}", path.display());
    }
}

#[test]
fn packages_stay_in_their_rooms() {
    let homes: [(&str, &[&str]); 4] = [
        ("tiny_http", &["src/server/", "src/demo.rs"]),
        ("ureq", &["src/scrape/", "src/kubernetes/"]),
        ("k8s_openapi", &["src/kubernetes/"]),
        ("simplelog", &["src/logging.rs"]),
    ];
    for (path, text) in rust_files("src") {
        let path = path.to_str().unwrap();
        for (package, homes) in homes {
            let used = code(&text).any(|line| line.contains(&format!("{package}::")));
            assert!(
                !used || homes.iter().any(|home| path.starts_with(home)),
                "{path} uses {package}"
            );
        }
    }
}

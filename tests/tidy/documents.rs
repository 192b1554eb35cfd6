//! The documents: their links lead somewhere, and their tables have a row for everything that the code has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kubernetes_metrics_aggregator::config::settings;
use kubernetes_metrics_aggregator::kubernetes::{JOB_NAME_KEY, KEY_PREFIX, OPTIONS};
use kubernetes_metrics_aggregator::telemetry::Path as RequestPath;

use super::{root, rust_files};

/// All documents, with their paths from the top.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "k8s/README.md",
    "k8s/prometheus/README.md",
    "tests/README.md",
    "tests/bench/README.md",
    ".ci/README.md",
    ".cargo/dependencies.md",
];

/// The product's face is short enough to be read at once.
const README_BYTES_MAX: usize = 16 * 1024;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a document that are not in a code block.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let is_prose = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    };
    text.lines().filter(is_prose).collect()
}

/// The part of a document from this heading to the next one of at most the same level.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let level = |line: &str| line.chars().take_while(|&c| c == '#').count();
    let mut lines = prose(text).into_iter().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "no {heading}");
    let ends = |line: &&str| (1..=level(heading)).contains(&level(line));
    lines.take_while(|line| !ends(line)).collect()
}

/// The anchor that GitHub and others make of a heading: letters, digits, `-` and `_` stay, in lower case.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || ['-', '_'].contains(c))
        .collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings.map(anchor).collect()
}

/// The text between the brackets of each `[…](…)`.
fn links(text: &str) -> Vec<String> {
    let joined = prose(text).join("\n");
    let targets = joined.split("](").skip(1);
    targets
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect()
}

/// Why a link of a document leads nowhere.
fn broken(document: &str, link: &str) -> Option<String> {
    if link.starts_with("http://127.0.0.1:") {
        return None;
    }
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(document).parent().unwrap();
    let path = if file.is_empty() {
        PathBuf::from(document)
    } else {
        folder.join(file)
    };
    let Ok(target) = root().join(&path).canonicalize() else {
        return Some(format!("{document}: no file {link}"));
    };
    if !target.starts_with(root().canonicalize().unwrap()) {
        return Some(format!("{document}: {link} leads out of the repository"));
    }
    if fragment.is_empty() || anchors(&fs::read_to_string(target).unwrap()).contains(fragment) {
        return None;
    }
    Some(format!("{document}: no heading {link}"))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let links = links(&read(document));
        count += links.len();
        wrong.extend(links.iter().filter_map(|link| broken(document, link)));
    }
    assert!(count > 40, "only {count} links found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_broken_link_is_found() {
    for link in ["nowhere.md", "#nothing", "k8s/README.md#nothing", "../"] {
        assert!(broken("README.md", link).is_some(), "{link}");
    }
    for link in ["#settings", "k8s/README.md#who-may-ask", "tests"] {
        assert_eq!(broken("README.md", link), None, "{link}");
    }
}

#[test]
fn every_file_that_a_document_names_exists() {
    let folders = ["src/", "tests/", "k8s/", "fixtures/", ".ci/", ".cargo/"];
    let mut count = 0;
    for document in DOCUMENTS {
        let text = prose(&read(document)).join("\n");
        let code = text.split('`').skip(1).step_by(2);
        for word in code.flat_map(str::split_whitespace) {
            let word = word.trim_matches(['"', '$', '(', ')']);
            if folders.iter().any(|folder| word.starts_with(folder)) {
                count += 1;
                assert!(
                    root().join(word).exists(),
                    "{document} names {word}, and there is no such file"
                );
            }
        }
    }
    assert!(count > 40, "only {count} names of files found");
}

#[test]
fn every_document_is_checked() {
    let mut found = BTreeSet::new();
    for folder in [
        "",
        ".ci",
        ".cargo",
        "k8s",
        "k8s/prometheus",
        "tests",
        "tests/bench",
    ] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.insert(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    assert_eq!(
        found,
        DOCUMENTS.map(PathBuf::from).into(),
        "the documents that there are, and DOCUMENTS in tests/tidy/documents.rs"
    );
}

#[test]
fn the_readme_is_short() {
    let bytes = read("README.md").len();
    assert!(
        bytes <= README_BYTES_MAX,
        "README.md has {bytes} bytes, {README_BYTES_MAX} at most: details belong into another document"
    );
}

#[test]
fn the_readme_has_every_setting_with_its_default() {
    let readme = read("README.md");
    let table = section(&readme, "## Settings");
    for (name, default) in settings() {
        let row = table
            .iter()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("README.md, \"Settings\": no row for {name}"));
        let cell = row.split('|').nth(2).unwrap().trim();
        let expected = if default.is_empty() {
            "unset".to_owned()
        } else {
            format!("`{default}`")
        };
        assert_eq!(
            cell, expected,
            "README.md, \"Settings\": the default of {name}"
        );
    }
}

#[test]
fn the_readme_has_every_option_of_a_pod() {
    let job_name = JOB_NAME_KEY.strip_prefix(KEY_PREFIX).unwrap();
    let keys = OPTIONS.iter().copied().chain([job_name.trim_matches('/')]);
    check_rows("README.md", "What you label", keys);
}

#[track_caller]
fn check_rows<'k>(document: &str, title: &str, keys: impl IntoIterator<Item = &'k str>) {
    let text = read(document);
    let table = section(&text, &format!("## {title}")).join("\n");
    for key in keys {
        let row = format!("\n| `{key}` | ");
        assert!(
            table.contains(&row),
            "{document}, \"{title}\": no row that begins with {row}"
        );
    }
}

#[test]
fn the_readme_has_every_path() {
    let readme = read("README.md");
    let rows = section(&readme, "## What you get");
    let rows = rows.iter().filter(|line| line.starts_with("| `/"));
    let cells: String = rows.map(|row| row.split(" | ").next().unwrap()).collect();
    for path in RequestPath::ALL {
        let path = path.to_string();
        let starts = |rest: &str| cells.contains(&format!("`{path}{rest}"));
        assert!(
            path == "other" || starts("`") || starts("?"),
            "README.md, \"What you get\": no row for {path}, only {cells}"
        );
    }
}

#[test]
fn every_alert_is_in_the_document() {
    let rules = read("k8s/prometheus/rules.yaml");
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    check_rows("k8s/prometheus/README.md", "Alerts", alerts);
}

#[test]
fn every_room_of_the_tests_is_in_their_readme() {
    let document = read("tests/README.md");
    let table = section(&document, "## What is tested where").join("\n");
    let rooms = read("tests/main.rs");
    let rooms = rooms.lines().filter_map(|line| line.strip_prefix("mod "));
    for room in rooms.map(|room| room.trim_end_matches(';')) {
        let known = room == "support" || table.contains(&format!("`{room}.rs`"));
        assert!(known, "{room}.rs");
    }
}

#[test]
fn every_attack_in_the_document_has_its_test() {
    let document = read("tests/README.md");
    let table = section(&document, "## Under attack");
    let code: String = rust_files("tests")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let rows = table.into_iter().filter(|line| line.starts_with("| "));
    let names = rows.filter_map(|row| row.split('|').nth(2));
    let names: Vec<&str> = names
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let known = root().join(name).is_file() || code.contains(&format!("\nfn {name}()"));
        assert!(
            known,
            "tests/README.md, \"Under attack\": no test or file {name}"
        );
    }
}

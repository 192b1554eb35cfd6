//! A reader of merged text of either format, to compare with the slow and obvious merge.

use super::reference::{Block, PlainSample};

/// The lines of a merged text, which has no line breaks within quotes.
pub(crate) fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split_terminator('\n')
}

/// Takes a merged text apart.
pub(crate) fn read_blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut help = None;
    for line in statements(text) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest.to_owned());
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let unit = rest.rsplit_once(' ').unwrap().1;
            blocks.last_mut().unwrap().unit = (!unit.is_empty()).then(|| unit.to_owned());
        } else if line == "# EOF" {
            break;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, metric_type) = rest.rsplit_once(' ').unwrap();
            let head = format!("{name} ");
            blocks.push(Block {
                name: if name.starts_with('"') {
                    unquote(name).0
                } else {
                    name.to_owned()
                },
                help: help
                    .take()
                    .map(|help| help.strip_prefix(&head).unwrap().to_owned()),
                metric_type: metric_type.to_owned(),
                unit: None,
                samples: Vec::new(),
            });
        } else {
            blocks.last_mut().unwrap().samples.push(read_sample(line));
        }
    }
    blocks
}

fn read_sample(line: &str) -> PlainSample {
    let end = line.find(['{', ' ']).unwrap();
    let mut name = line[..end].to_owned();
    let mut rest = &line[end..];
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let label;
            (label, rest) = word(rest);
            if let Some(value) = rest.strip_prefix('=') {
                let value_and_rest = unquote(value);
                labels.push((label, value_and_rest.0));
                rest = value_and_rest.1;
            } else {
                name = label;
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let (numbers, exemplar) = match rest.find(" # ") {
        Some(at) => (&rest[1..at], Some(rest[at..].to_owned())),
        None => (&rest[1..], None),
    };
    let mut numbers = numbers.split(' ');
    labels.retain(|(_, value)| !value.is_empty());
    PlainSample {
        name,
        labels,
        value: numbers.next().unwrap().to_owned(),
        timestamp: numbers.next().map(str::to_owned),
        exemplar,
    }
}

/// A bare or quoted name, and what follows it.
fn word(text: &str) -> (String, &str) {
    if text.starts_with('"') {
        return unquote(text);
    }
    let end = text.find(['=', ',', '}']).unwrap();
    (text[..end].to_owned(), &text[end..])
}

/// The quoted text at the start, unescaped, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut plain = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (plain, &text[at + 1..]),
            '\\' => plain.push(match chars.next().unwrap().1 {
                'n' => '\n',
                other => other,
            }),
            _ => plain.push(c),
        }
    }
    (plain, "")
}

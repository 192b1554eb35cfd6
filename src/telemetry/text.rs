//! Writes the own metrics in Prometheus' text format.

use std::fmt::{self, Display, Write};

use super::histogram::Durations;

/// The text so far, and the family that is being written.
#[derive(Default)]
pub(super) struct Samples {
    text: String,
    name: &'static str,
    /// Where the family begins.
    start: usize,
}

impl Samples {
    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.start = self.text.len();
        self.name = name;
        // Writing into a String does not fail, here and below.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// The one sample of a family without labels.
    pub(super) fn sample(&mut self, value: impl Display) {
        let _ = writeln!(self.text, "{} {value}", self.name);
    }

    /// The one sample of a family without labels. If there is no value, the whole family is left out.
    pub(super) fn optional(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.sample(value),
            None => self.text.truncate(self.start),
        }
    }

    /// A sample with these labels, already in the form between the braces.
    pub(super) fn labelled(&mut self, labels: fmt::Arguments<'_>, value: impl Display) {
        let _ = writeln!(self.text, "{}{{{labels}}} {value}", self.name);
    }

    /// A sample for each value of the label.
    pub(super) fn each<L: Display, V: Display>(
        &mut self,
        label: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) {
        for (label_value, value) in samples {
            self.labelled(format_args!("{label}=\"{label_value}\""), value);
        }
    }

    /// The buckets, sum and count of a histogram.
    pub(super) fn histogram(&mut self, durations: &Durations) {
        durations.write(self.name, &mut self.text);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A label value with the escapes of the text format.
pub(super) fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

//! Reads the settings in the order of the table.

use std::slice;

use super::ConfigError;
use super::values::number;

/// One row of the table.
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// As the environment would have it; empty if the setting has no default.
    pub(super) default: &'static str,
    /// Ends the sentence "expected …" of an error.
    pub(super) expected: &'static str,
    pub(super) help: &'static str,
}

/// Reads the settings, and collects the values that it finds and the errors.
pub(super) struct SettingsReader<L> {
    rows: slice::Iter<'static, Setting>,
    lookup: L,
    /// Name and value of each setting that is set or has a default, even if the value is invalid.
    pub(super) effective: Vec<(&'static str, String)>,
    pub(super) errors: Vec<ConfigError>,
}

impl<L: Fn(&str) -> Option<String>> SettingsReader<L> {
    /// `lookup` returns the value of a variable.
    pub(super) fn new(rows: &'static [Setting], lookup: L) -> SettingsReader<L> {
        SettingsReader {
            rows: rows.iter(),
            lookup,
            effective: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The value of a variable; a blank one counts as unset.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    /// The setting of the next row. `None` if it is unset, and also if its value is invalid.
    pub(super) fn optional<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let row = self.rows.next().expect("each setting has a row");
        let value = self
            .variable(row.name)
            .unwrap_or_else(|| row.default.to_owned());
        if value.is_empty() {
            return None;
        }
        let parsed = parse(&value);
        if parsed.is_none() {
            let error = ConfigError::new(row.name, value.clone(), row.expected);
            self.errors.push(error);
        }
        self.effective.push((row.name, value));
        parsed
    }

    /// The same for a list, which is empty if it is unset.
    pub(super) fn list<T>(&mut self, parse: impl Fn(&str) -> Option<Vec<T>>) -> Vec<T> {
        self.optional(parse).unwrap_or_default()
    }

    /// The same for a setting with a default, which also replaces an invalid value.
    pub(super) fn value<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> T {
        let default = self.rows.as_slice().first().map(|row| row.default);
        self.optional(&parse)
            .or_else(|| parse(default?))
            .expect("the default is valid")
    }

    /// Host and port of the API server, which Kubernetes sets in every container.
    pub(super) fn kubernetes_service(&mut self) -> Option<(String, u16)> {
        let host = self.variable("KUBERNETES_SERVICE_HOST")?;
        let port = self.variable("KUBERNETES_SERVICE_PORT").unwrap_or_default();
        let parsed = number(&port, 1..=u16::MAX);
        if parsed.is_none() {
            let expected = "a port, as Kubernetes sets it together with KUBERNETES_SERVICE_HOST";
            self.errors
                .push(ConfigError::new("KUBERNETES_SERVICE_PORT", port, expected));
        }
        Some((host, parsed?))
    }
}

//! Escapes UTF-8 names for scrapers that cannot read them.
//!
//! A scraper asks for one of these ways with the parameter `escaping` in its `Accept` header. Same as `EscapeName` in
//! `model/metric.go` of prometheus/common.

use super::error::LineErrorKind;
use super::labels::{is_label_name, is_metric_byte, is_metric_name, is_name_byte, repeated_name};
use super::line::Label;
use std::borrow::Cow;
use std::fmt::Write as _;

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escaping {
    /// `allow-utf-8`: names stay as they are, in quotes where needed.
    AllowUtf8,
    /// `_` in place of each character that is not allowed. The default without the parameter, as for Prometheus 2.
    #[default]
    Underscores,
    /// `_dot_` in place of a dot, `__` in place of an underscore and of any other character that is not allowed.
    Dots,
    /// The prefix `U__`, and in place of each character that is not allowed its code point between underscores.
    Values,
}

impl Escaping {
    /// The escaping that this value of the parameter means; `None` if it is unknown. Prometheus' documentation also
    /// uses `allow-utf8`.
    pub(super) fn from_word(word: &str) -> Option<Escaping> {
        Some(match word {
            "allow-utf-8" | "allow-utf8" => Escaping::AllowUtf8,
            "underscores" => Escaping::Underscores,
            "dots" => Escaping::Dots,
            "values" => Escaping::Values,
            _ => return None,
        })
    }

    /// The value of the parameter.
    pub(super) fn word(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// Escapes the name of a metric, which must be UTF-8 and not empty.
    ///
    /// A name that every scraper can read stays as it is, even if `dots` would change it: it may be a name that the
    /// pod has already escaped.
    pub(super) fn metric_name(self, name: &[u8]) -> Cow<'_, [u8]> {
        if self == Escaping::AllowUtf8 || is_metric_name(name) {
            return Cow::Borrowed(name);
        }
        Cow::Owned(self.escape(name, is_metric_byte))
    }

    /// Escapes the label names of one sample, as for metric names.
    ///
    /// # Errors
    /// [`LineErrorKind::UniqueLabelName`] if two names become the same, which no scraper accepts.
    pub(super) fn label_names(self, labels: &mut [Label<'_>]) -> Result<(), LineErrorKind> {
        if self == Escaping::AllowUtf8 || labels.iter().all(|(name, _)| is_label_name(name)) {
            return Ok(());
        }
        for (name, _) in labels.iter_mut().filter(|(name, _)| !is_label_name(name)) {
            *name = Cow::Owned(self.escape(name, is_name_byte));
        }
        match repeated_name(labels.iter().map(|(name, _)| &**name)) {
            Some(_) => Err(LineErrorKind::UniqueLabelName),
            None => Ok(()),
        }
    }

    fn escape(self, name: &[u8], is_allowed: fn(u8) -> bool) -> Vec<u8> {
        let name = String::from_utf8_lossy(name);
        let mut escaped = match self {
            Escaping::Values => "U__".to_owned(),
            _ => String::with_capacity(name.len()),
        };
        for (n, c) in name.chars().enumerate() {
            let is_leading_digit = n == 0 && c.is_ascii_digit();
            let is_allowed = u8::try_from(c).is_ok_and(is_allowed) && !is_leading_digit;
            match (self, c) {
                (Escaping::Dots | Escaping::Values, '_') => escaped.push_str("__"),
                (_, c) if is_allowed => escaped.push(c),
                (Escaping::Dots, '.') => escaped.push_str("_dot_"),
                (Escaping::Dots, _) => escaped.push_str("__"),
                // Writing to a String cannot fail.
                (Escaping::Values, c) => drop(write!(escaped, "_{:x}_", u32::from(c))),
                _ => escaped.push('_'),
            }
        }
        escaped.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, underscores: &str, dots: &str, values: &str) {
        let expected = [
            (Escaping::AllowUtf8, name),
            (Escaping::Underscores, underscores),
            (Escaping::Dots, dots),
            (Escaping::Values, values),
        ];
        for (escaping, expected) in expected {
            let escaped = escaping.metric_name(name.as_bytes());
            assert_eq!(String::from_utf8_lossy(&escaped), expected, "{escaping:?}");
        }
    }

    /// The expected names follow the rules in prometheus/docs, `escaping_schemes.md`.
    #[test]
    fn names_are_escaped_as_the_scraper_wants_them() {
        check(
            "plain_name:a",
            "plain_name:a",
            "plain_name:a",
            "plain_name:a",
        );
        check(
            "http.status",
            "http_status",
            "http_dot_status",
            "U__http_2e_status",
        );
        check("a_b.c", "a_b_c", "a__b_dot_c", "U__a__b_2e_c");
        check("9lives", "_lives", "__lives", "U___39_lives");
        check("\u{4f60} x", "__x", "____x", "U___4f60__20_x");
    }

    #[track_caller]
    fn check_labels(escaping: Escaping, names: [&'static str; 2], expected: Option<[&str; 2]>) {
        let label = |name: &'static str| (Cow::from(name.as_bytes()), Cow::from(&b"v"[..]));
        let mut labels = names.map(label);
        let escaped = escaping.label_names(&mut labels);
        let names = labels.map(|(name, _)| String::from_utf8_lossy(&name).into_owned());
        match expected {
            Some(expected) => assert_eq!((escaped, names), (Ok(()), expected.map(str::to_owned))),
            None => assert_eq!(escaped, Err(LineErrorKind::UniqueLabelName)),
        }
    }

    #[test]
    fn names_of_labels_have_no_colon_and_stay_different() {
        check_labels(Escaping::Underscores, ["a:b", "c.d"], Some(["a_b", "c_d"]));
        check_labels(Escaping::AllowUtf8, ["a:b", "c.d"], Some(["a:b", "c.d"]));
        check_labels(Escaping::Underscores, ["a.b", "a_b"], None);
        check_labels(Escaping::Values, ["a.b", "a_b"], Some(["U__a_2e_b", "a_b"]));
    }
}

//! What a scraper asks for: formats, and with `name[]` metric families.
//!
//! `name[]` is passed on to the pods, and client libraries understand it differently: Go's keeps the families with
//! these names, Python's the samples with these names. A sample is therefore kept if its own name or the name of its
//! family is asked for. The family of a counter matches with and without `_total`, since formats differ in this.
//! Names are compared after escaping.

use super::escaping::Escaping;
use super::metric_type::MetricType;
use super::{Accept, Format};
use std::collections::HashSet;

/// What a scraper asks for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Which formats, and how names are written in them.
    pub accept: Accept,
    /// Which metric families.
    pub families: AskedFamilies,
}

/// Which metric families a scraper asks for: by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedFamilies(Vec<String>);

impl AskedFamilies {
    /// The families with one of these names; all families if there are no names. No family has the empty name.
    #[must_use]
    pub fn new(names: Vec<String>) -> AskedFamilies {
        AskedFamilies(names)
    }

    /// The names, in the order of the request.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The names as bodies of one format write them; `None` if all families are asked for.
    pub(super) fn written(&self, format: Format, escaping: Escaping) -> Option<AskedNames> {
        let plain = self.0.iter().map(|name| name.as_bytes().to_vec());
        // A pod that supports `name[]` compares names before it escapes them.
        let escaped = plain.clone().filter(|name| !name.is_empty());
        let escaped = escaped.map(|name| escaping.metric_name(&name).into_owned());
        let names: HashSet<Vec<u8>> = plain.chain(escaped).collect();
        (!names.is_empty()).then_some(AskedNames { format, names })
    }
}

/// The names that are asked for, as bodies of one format write them.
#[derive(Debug)]
pub(super) struct AskedNames {
    format: Format,
    names: HashSet<Vec<u8>>,
}

/// The type of a TYPE line, and the suffix that OpenMetrics adds to the family's name in its samples.
pub(super) type Declared = (MetricType, &'static [u8]);

impl AskedNames {
    /// Whether the metadata and the samples of this name are asked for. `declared` finds the TYPE line of a name.
    pub(super) fn include(
        &self,
        name: &[u8],
        declared: impl Fn(&[u8]) -> Option<Declared>,
    ) -> bool {
        const SUFFIXES: [&[u8]; 9] = [
            b"",
            b"_total",
            b"_info",
            b"_bucket",
            b"_sum",
            b"_count",
            b"_created",
            b"_gcount",
            b"_gsum",
        ];
        let is_of_family = |suffix: &&[u8]| {
            let Some(family) = name.strip_suffix(*suffix) else {
                return false;
            };
            declared(family).is_some_and(|declared| {
                self.takes(declared, suffix) && self.has_family(family, declared)
            })
        };
        self.names.contains(name) || SUFFIXES.iter().any(is_of_family)
    }

    /// Whether samples with this suffix belong to such a family.
    fn takes(&self, (metric_type, own_suffix): Declared, suffix: &[u8]) -> bool {
        let is_gauge_histogram = metric_type == MetricType::GaugeHistogram;
        match suffix {
            b"" => true,
            b"_bucket" => metric_type == MetricType::Histogram || is_gauge_histogram,
            b"_sum" | b"_count" => metric_type.has_children(),
            b"_gsum" | b"_gcount" => is_gauge_histogram,
            b"_created" => {
                let has_created = metric_type.has_children() || is_gauge_histogram;
                let is_counter = metric_type == MetricType::Counter;
                self.format == Format::OpenMetrics && (has_created || is_counter)
            }
            suffix => suffix == own_suffix,
        }
    }

    fn has_family(&self, family: &[u8], (metric_type, own_suffix): Declared) -> bool {
        let without_total = family.strip_suffix(b"_total");
        let is_asked = |name: &[u8]| self.names.contains(name);
        is_asked(family)
            || is_asked(&[family, own_suffix].concat())
            || metric_type == MetricType::Counter && without_total.is_some_and(is_asked)
    }
}

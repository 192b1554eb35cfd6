//! The families of a merged text: their metadata, and their names and types in each format.
//!
//! Families are identified by their names in the text format, which are those of their samples. In OpenMetrics the
//! family of `a_total` is `a`, and samples with more suffixes belong to a family. A strict parser of OpenMetrics
//! refuses two families that could have samples with the same name.

use crate::exposition::Format;
use crate::exposition::labels::{is_metric_name, push_help, push_quoted, unescape_help};
use crate::exposition::layout::{Layout, NameInBody, TypeLine};
use crate::exposition::metric_type::MetricType;
use crate::exposition::offset;

/// A family of the merged text.
pub(super) struct MergedFamily<'p> {
    pub(super) name: &'p [u8],
    pub(super) help: Option<&'p [u8]>,
    pub(super) metric_type: Option<MetricType>,
    unit: Option<&'p [u8]>,
    /// Whether any of its samples has a label `le` or `quantile`.
    has_float_labels: bool,
    pub(super) helps_differ: bool,
    pub(super) types_differ: bool,
    /// The TYPE line of the samples of all parts. Its index counts families.
    pub(super) type_line: TypeLine,
}

impl<'p> MergedFamily<'p> {
    /// A family without metadata and samples.
    pub(super) fn new(name: &'p [u8]) -> MergedFamily<'p> {
        MergedFamily {
            name,
            help: None,
            metric_type: None,
            unit: None,
            has_float_labels: false,
            helps_differ: false,
            types_differ: false,
            type_line: TypeLine::NoSamples,
        }
    }

    /// Adds the metadata of one layout.
    pub(super) fn add(&mut self, layout: &'p Layout, said: &NameInBody, type_line: TypeLine) {
        if let Some(help) = said.help {
            let help = layout.text(help);
            let first = *self.help.get_or_insert(help);
            self.helps_differ |= first != help;
        }
        if let Some(metric_type) = said.metric_type {
            let known = *self.metric_type.get_or_insert(metric_type);
            if known.in_text() != metric_type.in_text() {
                self.types_differ = true;
                self.metric_type = Some(MetricType::Untyped);
            } else if known != metric_type {
                // The same type in two formats.
                self.metric_type = Some(known.in_text());
            }
        }
        self.unit = self
            .unit
            .or_else(|| said.unit.map(|unit| layout.text(unit)));
        self.has_float_labels |= said.has_float_labels;
        self.type_line = self.type_line.and(type_line);
    }
}

/// How a family is written in the merged text.
#[derive(Debug)]
pub(super) struct Written<'p> {
    pub(super) name: &'p [u8],
    pub(super) metric_type: MetricType,
    /// The index of the family whose block has its samples: mostly its own.
    pub(super) block: usize,
}

impl Written<'_> {
    /// Writes HELP, if there is one.
    pub(super) fn push_help(&self, out: &mut Vec<u8>, family: &MergedFamily<'_>, format: Format) {
        if let Some(help) = family.help {
            self.push_keyword(out, b"# HELP ");
            if format == Format::OpenMetrics {
                push_open_metrics_help(out, &unescape_help(help));
            } else {
                out.extend_from_slice(help);
            }
            out.push(b'\n');
        }
    }

    /// Writes TYPE.
    pub(super) fn push_type(&self, out: &mut Vec<u8>, format: Format) {
        self.push_keyword(out, b"# TYPE ");
        out.extend_from_slice(self.metric_type.word(format).as_bytes());
        out.push(b'\n');
    }

    /// Writes the UNIT of OpenMetrics. A family without a unit gets an empty UNIT line if the family before it has a
    /// unit, because parsers keep it until the next UNIT line.
    pub(super) fn push_unit(
        &self,
        out: &mut Vec<u8>,
        family: &MergedFamily<'_>,
        unit_stands: &mut bool,
    ) {
        // Parsers compare the unit with the escaped name.
        let is_plain = memchr::memchr3(b'\\', b'"', b'\n', self.name).is_none();
        let is_end = |unit: &&[u8]| {
            let before = self.name.strip_suffix(*unit);
            is_plain && before.is_some_and(|before| before.ends_with(b"_"))
        };
        let unit = family.unit.filter(is_end);
        if unit.is_some() || *unit_stands {
            self.push_keyword(out, b"# UNIT ");
            out.extend_from_slice(unit.unwrap_or_default());
            out.push(b'\n');
        }
        *unit_stands = unit.is_some();
    }

    fn push_keyword(&self, out: &mut Vec<u8>, keyword: &[u8]) {
        out.extend_from_slice(keyword);
        if is_metric_name(self.name) {
            out.extend_from_slice(self.name);
        } else {
            push_quoted(out, self.name);
        }
        out.push(b' ');
    }
}

/// Gives the families their names and types in OpenMetrics, and puts samples into the blocks where they belong there.
/// `find` returns the index of a name.
pub(super) fn arrange_open_metrics(
    written: &mut [Written<'_>],
    families: &[MergedFamily<'_>],
    find: impl Fn(&[u8]) -> Option<usize>,
) {
    // Counters come first: `a_total` and `a_info` cannot both be in a family `a`.
    for (metric_type, otherwise) in [
        (MetricType::Counter, MetricType::Untyped),
        (MetricType::Info, MetricType::Gauge),
    ] {
        for id in 0..written.len() {
            if written[id].metric_type == metric_type {
                match free_base(written, id, &find) {
                    Some(base) => written[id].name = base,
                    None => written[id].metric_type = otherwise,
                }
            }
        }
    }
    for id in 0..written.len() {
        if written[id].block == id
            && let Some(block) = joined_block(written, id, &find)
            && may_join(&families[id], block, written[block].metric_type)
        {
            written[id].block = block;
        }
    }
}

/// The name of a counter or info without its suffix, unless that is the name of another family.
fn free_base<'p>(
    written: &[Written<'p>],
    id: usize,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> Option<&'p [u8]> {
    let Written {
        name, metric_type, ..
    } = written[id];
    let base = name.strip_suffix(metric_type.open_metrics_suffix())?;
    let is_taken =
        find(base).is_some() || counter_of(written, base, find).is_some_and(|it| it != id);
    (!base.is_empty() && !is_taken).then_some(base)
}

/// The counter whose samples have this name and `_total`.
fn counter_of(
    written: &[Written<'_>],
    base: &[u8],
    find: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let suffix = MetricType::Counter.open_metrics_suffix();
    find(&[base, suffix].concat()).filter(|id| written[*id].metric_type == MetricType::Counter)
}

/// The family to which the samples of this name belong in OpenMetrics but not in the text format.
fn joined_block(
    written: &[Written<'_>],
    id: usize,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let takes_created = |id: &usize| {
        let metric_type = written[*id].metric_type;
        metric_type.has_children() || metric_type == MetricType::GaugeHistogram
    };
    let name = written[id].name;
    if takes_created(&id) {
        return None;
    }
    if let Some(base) = name.strip_suffix(b"_created") {
        let with_children = find(base).filter(takes_created);
        return with_children.or_else(|| counter_of(written, base, find));
    }
    let suffixes: [&[u8]; 3] = [b"_bucket", b"_gcount", b"_gsum"];
    let base = suffixes.iter().find_map(|end| name.strip_suffix(*end))?;
    find(base).filter(|base| written[*base].metric_type == MetricType::GaugeHistogram)
}

/// Whether the samples of a family may be in this block: not if Prometheus would rewrite a label value there that it
/// does not rewrite in the body.
fn may_join(family: &MergedFamily<'_>, block: usize, metric_type: MetricType) -> bool {
    let own = TypeLine::Of(offset(block), metric_type);
    !metric_type.has_children() || !family.has_float_labels || family.type_line == own
}

/// Writes a HELP text for OpenMetrics, where quotes are escaped too.
fn push_open_metrics_help(out: &mut Vec<u8>, unescaped: &[u8]) {
    let parts = unescaped.split(|byte| *byte == b'"').enumerate();
    for (number, part) in parts {
        if number > 0 {
            out.extend_from_slice(b"\\\"");
        }
        push_help(out, part);
    }
}

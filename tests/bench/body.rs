//! Bodies as exporters send them: counters, gauges and histograms with HELP and TYPE, about 100 bytes a line.
//!
//! Or the page of a real exporter, with other values for each pod: `tests/bench/pages` fetches such pages.

use std::fmt::Write;

use kubernetes_metrics_aggregator::exposition::protobuf::{Position, ProtobufBody};
use kubernetes_metrics_aggregator::exposition::{Format, IdentityLabels, parse};

const SUBSYSTEMS: [&str; 8] = [
    "http_server",
    "grpc_client",
    "cache",
    "work_queue",
    "database_pool",
    "storage",
    "scheduler",
    "session",
];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const CODES: [&str; 5] = ["200", "201", "304", "404", "500"];
const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf",
];

/// How far bodies of different variants have the same series. Values always differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    Same,
    /// One in 20 has a label value that no other variant has, and one in 50 is missing, in each variant another one.
    Own,
    /// Every second one has a label value that no other variant has.
    Distinct,
    /// All are the same, and 3 in 100 lines have a timestamp.
    Stamped,
    /// All are the same, every line has a timestamp, and one in three a label without a value: as cAdvisor sends.
    CAdvisor,
    /// Every second variant is the next version of the program: one family in four has one label more, one in seven
    /// another name, and one in five another help text.
    Rollout,
}

impl Series {
    /// One in so many series has a label value of its own.
    fn own_part(self) -> Option<usize> {
        match self {
            Series::Own => Some(20),
            Series::Distinct => Some(2),
            _ => None,
        }
    }

    /// One in so many is left out.
    fn missing_part(self) -> Option<usize> {
        (self == Series::Own).then_some(50)
    }

    /// Whether the line of this number has a timestamp.
    fn is_stamped(self, number: usize) -> bool {
        match self {
            Series::Stamped => number % 100 < 3,
            Series::CAdvisor => true,
            _ => false,
        }
    }

    /// Pods of the next version of the program.
    fn is_next_version(self, variant: usize) -> bool {
        self == Series::Rollout && variant % 2 == 1
    }
}

/// Renders a body with exactly this many series.
pub(crate) fn render(series: usize, variant: usize, kind: Series) -> String {
    let mut body = Body {
        text: String::with_capacity(series * 110),
        kind,
        variant,
        more_label: false,
        more_help: false,
        number: 0,
        left: series,
        // More series make both more families and larger ones.
        width: series.isqrt(),
        random: Random(0x9e37_79b9_7f4a_7c15 ^ (variant as u64 + 1)),
    };
    for number in 0.. {
        if body.left == 0 {
            break;
        }
        let is_next = kind.is_next_version(variant);
        let suffix = if is_next && number % 7 == 3 {
            "_v2"
        } else {
            ""
        };
        let name = format!("{}_{:02}{suffix}", SUBSYSTEMS[number % 8], number / 8);
        body.more_label = is_next && number % 4 == 1;
        body.more_help = is_next && number % 5 == 2;
        match number % 4 {
            0 => body.counter(&name),
            1 => body.histogram(&name),
            2 => body.gauge(&name),
            _ => body.single(&name),
        }
    }
    body.text
}

struct Body {
    text: String,
    kind: Series,
    variant: usize,
    /// Whether the samples of this family have one label more, and its help text a few words more.
    more_label: bool,
    more_help: bool,
    /// Series so far, those that are missing included.
    number: usize,
    /// Series still to write.
    left: usize,
    /// Series of a large family.
    width: usize,
    random: Random,
}

impl Body {
    fn head(&mut self, name: &str, metric_type: &str, help: &str) {
        let more = if self.more_help {
            " Since version 2."
        } else {
            ""
        };
        self.write(&format!(
            "# HELP {name} {help}{more}\n# TYPE {name} {metric_type}\n"
        ));
    }

    fn write(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Writes one sample; says whether there is room for another.
    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) -> bool {
        if self.left == 0 {
            return false;
        }
        self.number += 1;
        let is_one_in = |part: Option<usize>, number: usize| {
            part.is_some_and(|part| number.is_multiple_of(part))
        };
        if is_one_in(self.kind.missing_part(), self.number + self.variant) {
            return true;
        }
        let is_own = is_one_in(self.kind.own_part(), self.number);
        self.left -= 1;
        let is_empty = self.kind == Series::CAdvisor && self.number.is_multiple_of(3);
        let labels = match labels.strip_suffix('}') {
            Some(open) if is_own => format!("{open},worker=\"worker-{:05}\"}}", self.variant),
            Some(open) if is_empty => format!("{open},image=\"\"}}"),
            Some(open) if self.more_label => format!("{open},tenant=\"main\"}}"),
            _ => labels.to_owned(),
        };
        write!(self.text, "{name}{labels} {value}").expect("a String takes everything");
        if self.kind.is_stamped(self.number) {
            // Some minutes of 2025, another one in each variant.
            let milliseconds = 1_750_000_000_000 + self.variant * 61_007 + self.number % 13;
            write!(self.text, " {milliseconds}").expect("a String takes everything");
        }
        self.text.push('\n');
        self.left > 0
    }

    fn counter(&mut self, subsystem: &str) {
        let name = format!("{subsystem}_requests_total");
        self.head(
            &name,
            "counter",
            "Requests that were served, by method, handler and status code.",
        );
        for n in 0..self.width {
            let labels = format!(
                "{{method=\"{}\",handler=\"/api/v1/resources/{}\",code=\"{}\"}}",
                METHODS[n % 4],
                n / 20,
                CODES[n / 4 % 5]
            );
            let value = self.random.count();
            if !self.sample(&name, &labels, value) {
                return;
            }
        }
    }

    fn gauge(&mut self, subsystem: &str) {
        let name = format!("{subsystem}_utilization_ratio");
        self.head(&name, "gauge", "Share of the capacity that is in use.");
        for n in 0..self.width / 2 {
            let labels = format!("{{zone=\"eu-west-1{}\",shard=\"shard-{n:03}\"}}", n % 3);
            let value = self.random.ratio();
            if !self.sample(&name, &labels, value) {
                return;
            }
        }
    }

    fn single(&mut self, subsystem: &str) {
        let name = format!("{subsystem}_memory_bytes");
        self.head(&name, "gauge", "Memory in use.");
        let value = self.random.next() % 4_000_000_000;
        self.sample(&name, "", value);
    }

    fn histogram(&mut self, subsystem: &str) {
        let name = format!("{subsystem}_duration_seconds");
        self.head(
            &name,
            "histogram",
            "Time from the first byte of the request to the last one of the response.",
        );
        for set in 0..(self.width / 12).max(1) {
            let labels = format!("handler=\"/api/v1/resources/{set}\",zone=\"eu-west-1a\"");
            let mut count = 0;
            for bound in BOUNDS {
                count += self.random.count();
                let labels = format!("{{{labels},le=\"{bound}\"}}");
                self.sample(&format!("{name}_bucket"), &labels, count);
            }
            let labels = format!("{{{labels}}}");
            let sum = self.random.ratio();
            self.sample(&format!("{name}_sum"), &labels, sum);
            self.sample(&format!("{name}_count"), &labels, count);
        }
    }
}

/// The same text in another format.
pub(crate) fn in_format(text: String, format: Format) -> Vec<u8> {
    match format {
        Format::Text => text.into_bytes(),
        Format::OpenMetrics => {
            let mut lines = String::with_capacity(text.len());
            for line in text.split_inclusive('\n') {
                match line.starts_with('#') {
                    true => lines += &line.replacen("_total ", " ", 1),
                    false => lines += line,
                }
            }
            (lines + "# EOF\n").into_bytes()
        }
        Format::Protobuf => {
            let none = IdentityLabels::default();
            let parsed = parse(Format::Text, &text, &none).expect("a valid text");
            let body = ProtobufBody::convert(parsed, &none);
            let mut bytes = Vec::new();
            body.write(&none, &mut Position::default(), &mut bytes, usize::MAX);
            bytes
        }
    }
}

/// The page of a real exporter as another pod of it would send it: digits of values differ, the rest is the same.
pub(crate) fn vary(page: &str, variant: usize) -> String {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (variant as u64 + 1));
    let mut text = String::with_capacity(page.len());
    for line in page.split_inclusive('\n') {
        let value = line.rfind(['}', ' ']).map_or(0, |at| at + 1);
        let (series, value) = match line.split_once("} ") {
            _ if line.starts_with('#') => (line, ""),
            Some((series, _)) => line.split_at(series.len() + 2),
            None => line.split_at(value),
        };
        text.push_str(series);
        let is_number = value.trim_end().parse::<f64>().is_ok_and(f64::is_finite);
        // The first digit stays, and an exponent: the number must not become one that is too large, or empty.
        let end = value.find(['e', ' ']).unwrap_or(value.len());
        for (at, digit) in value.char_indices() {
            if is_number && digit.is_ascii_digit() && at > 0 && at < end {
                text.push(char::from(b'0' + (random.next() % 10) as u8));
            } else {
                text.push(digit);
            }
        }
    }
    text
}

/// xorshift64: values only have to differ and to stay the same from run to run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A count: often 0, seldom large, as in real exporters.
    fn count(&mut self) -> u64 {
        let bits = self.next() % 32;
        let value = self.next();
        if bits < 8 {
            0
        } else {
            value % (1 << (bits - 6))
        }
    }

    /// A number between 0 and 1 with up to 16 digits.
    fn ratio(&mut self) -> String {
        let digits = format!("{:016}", self.next() % 10_000_000_000_000_000);
        format!("0.{digits}").trim_end_matches('0').to_owned()
    }
}

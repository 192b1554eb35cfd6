//! Reads a body that is like another one whose layout is known: it is compared with that one, and only what differs is
//! taken apart.
//!
//! What stands between two values of the known body, such as `\n# TYPE b gauge\nb{c="d"} `, is mostly found again in the
//! new one, and is then known to mean the same. Beside values, a body may differ in that it has not all of the sample
//! lines, and that it has others, each of the same name as one before or behind it. HELP, TYPE and all other lines
//! have to be the same. Whatever does not fit is left to the parser, which decides alone what is valid.

use super::labels::is_metric_start;
use super::layout::{Layout, Lengths, Line};
use super::ordinary::value_and_timestamp;
use super::parse::{Parser, is_plain};
use super::sample_line::same_series;
use super::values::Values;
use super::{Exposition, IdentityLabels, Own, Run, Span, offset};
use std::sync::Arc;

/// Lines that a body may have more or less than the known one, before it is clear that most lines are the same…
const DIFFERENCES_MIN: usize = 16;
/// …and then one for so many lines.
const DIFFERENCES_PART: usize = 4;
/// Lines of one family that are missing behind each other are looked for no farther than this.
const LEFT_OUT_MAX: usize = 256;

impl Layout {
    /// Reads a body of the text format that says much the same as the one this is the layout of: the same as
    /// [`super::parse`] makes of it, in less time, and without keeping what is the same in both.
    ///
    /// `None` if the body differs in more than values and some sample lines, or if the layout is not reusable for a
    /// target with these labels. [`super::parse`] then decides.
    #[must_use]
    pub fn read(self: &Arc<Layout>, body: &[u8], labels: &IdentityLabels) -> Option<Exposition> {
        if !self.is_reusable(labels) {
            return None;
        }
        let mut reader = Reader {
            layout: self,
            known: self.body(),
            body,
            at: 0,
            known_at: 0,
            next: 0,
            values: Values::with_capacity(self.lines.len(), self.lengths.values * 5 / 4),
            differences: None,
        };
        loop {
            reader.take_known_lines()?;
            if reader.is_at_end() {
                return reader.finish();
            }
            reader.take_difference(labels)?;
        }
    }
}

struct Reader<'r> {
    layout: &'r Arc<Layout>,
    known: &'r [u8],
    body: &'r [u8],
    /// Up to here the body has been read, and up to here what it says stands in the known one: both positions are
    /// behind a value, or both at the start of a line.
    at: usize,
    known_at: usize,
    /// The known line that should come next.
    next: usize,
    values: Values,
    differences: Option<Differences<'r>>,
}

/// What a body has else than the known one.
struct Differences<'r> {
    count: usize,
    /// All samples so far. The series of those that the known body has not stand in `text`, and are counted as standing
    /// behind the text of the layout.
    lines: Vec<Line>,
    text: Vec<u8>,
    /// Runs of the layout in the order of the body, with their numbers, and how many samples each has in this body.
    runs: Vec<(usize, Run)>,
    lengths: Vec<usize>,
    /// Where the run of the last line that the layout has not stands among them.
    last_own_run: usize,
    /// Takes the other lines apart.
    parser: Option<Parser<'r, 'r>>,
}

impl<'r> Reader<'r> {
    /// Goes on as long as the body has the known lines; `None` where one of them has no valid value.
    fn take_known_lines(&mut self) -> Option<()> {
        for line in &self.layout.lines[self.next..] {
            let between = &self.known[self.known_at..line.value as usize];
            if !self.body[self.at..].starts_with(between) {
                break;
            }
            let start = self.at + between.len();
            self.at = value_and_timestamp(self.body, start)?.0;
            self.values.push(self.body, start..self.at)?;
            self.known_at = line.end as usize;
            self.next += 1;
            if let Some(differences) = &mut self.differences {
                differences.lines.push(*line);
            }
        }
        Some(())
    }

    fn is_at_end(&self) -> bool {
        self.next == self.layout.lines.len() && self.body[self.at..] == self.known[self.known_at..]
    }

    fn finish(mut self) -> Option<Exposition> {
        self.values.finish();
        let own = match self.differences {
            None => None,
            Some(differences) => Some(differences.finish(self.layout)?),
        };
        Some(Exposition {
            layout: Arc::clone(self.layout),
            own,
            values: Some(self.values),
        })
    }

    /// The body goes on otherwise than the known one: takes a line that only one of them has.
    fn take_difference(&mut self, labels: &'r IdentityLabels) -> Option<()> {
        self.start_line()?;
        let before = self.next.checked_sub(1);
        let next = self.layout.lines.get(self.next);
        // HELP and TYPE lines, mostly; nothing between two samples of a family.
        let others_end = next.map_or(self.known.len(), |line| line.start as usize);
        let others = self.known.get(self.known_at..others_end)?;
        if next.is_none() || !self.body[self.at..].starts_with(others) {
            return self.take_own_line(before.filter(|line| self.has_name_of(*line))?, labels);
        }
        self.at += others.len();
        self.known_at = others_end;
        if self.has_name_of(self.next) {
            return if self.is_line(self.next + 1) {
                self.leave_out_until(self.next + 1)
            } else {
                self.take_own_line(self.next, labels)
            };
        }
        match before.filter(|line| others.is_empty() && self.has_name_of(*line)) {
            Some(before) => self.take_own_line(before, labels),
            None => self.leave_out_until(self.next + 1),
        }
    }

    /// From behind a value to the start of the next line.
    fn start_line(&mut self) -> Option<()> {
        if self.known_at == 0 || self.known[self.known_at - 1] == b'\n' {
            return Some(());
        }
        let is_line_end = |text: &[u8], at: usize| text.get(at) == Some(&b'\n');
        if !is_line_end(self.known, self.known_at) || !is_line_end(self.body, self.at) {
            return None;
        }
        self.known_at += 1;
        self.at += 1;
        Some(())
    }

    /// Whether a sample of the same name as this known line starts here. Looks no farther than both are the same: names
    /// can be as long as bodies.
    fn has_name_of(&self, line: usize) -> bool {
        let line = self.layout.lines[line];
        let series = &self.layout.text[line.start as usize..line.split as usize];
        let body = &self.body[self.at..];
        let is_different = |(known, byte): (&u8, &u8)| known != byte || *known == b'{';
        let length = series.iter().zip(body).position(is_different);
        let length = length.unwrap_or_else(|| series.len().min(body.len()));
        length > 0
            && matches!(series.get(length), None | Some(b'{'))
            && matches!(body.get(length), Some(b'{' | b' '))
    }

    /// Whether this known line starts here.
    fn is_line(&self, line: usize) -> bool {
        let line = self.layout.lines.get(line);
        // There is no such range in the body for a line that is written anew.
        let series = line.and_then(|line| self.known.get(line.start as usize..line.value as usize));
        series.is_some_and(|series| self.body[self.at..].starts_with(series))
    }

    /// Goes on with this known line instead of the next one; the lines between have to stand behind each other.
    fn leave_out_until(&mut self, line: usize) -> Option<()> {
        let layout = self.layout;
        for number in self.next..line {
            let known = layout.lines[number];
            if known.start as usize != self.known_at
                || self.known.get(known.end as usize) != Some(&b'\n')
            {
                return None;
            }
            let differences = self.differ()?;
            let run = differences.run_of(number)?;
            differences.lengths[run] -= 1;
            self.known_at = known.end as usize + 1;
            self.next = number + 1;
        }
        Some(())
    }

    /// Takes a line that starts here and belongs to the run of a known line. If it is a known line itself, those before
    /// that are left out.
    fn take_own_line(&mut self, run_of: usize, labels: &'r IdentityLabels) -> Option<()> {
        let (layout, body, at) = (self.layout, self.body, self.at);
        let reuse = layout.reuse.as_ref()?;
        if !is_metric_start(*body.get(at)?) {
            return None;
        }
        let line_end = at + memchr::memchr(b'\n', &body[at..])?;
        if !is_plain(&body[at..line_end]) {
            return None;
        }
        let differences = self.differ()?;
        let parser = differences
            .parser
            .get_or_insert_with(|| Parser::of_lines(body, labels, reuse.series.key()));
        parser.at = at;
        let ordinary = parser.ordinary_line()?;
        if ordinary.timestamp.is_some() || ordinary.value.end != line_end {
            return None;
        }
        let value = ordinary.value.clone();
        let (line, tag) = parser.take(&ordinary)?;
        if parser.builder.hangs_on_more {
            return None;
        }
        let is_same = |known: u32| same_series(&layout.text[known as usize..], &body[at..]);
        if let Some(start) = reuse.series.find(tag, is_same) {
            // A duplicate, unless it is yet to come.
            let ahead = layout.lines[self.next..].iter().take(LEFT_OUT_MAX);
            let skipped = ahead
                .map(|line| line.start)
                .position(|line| line == start)?;
            let known = self.next + skipped;
            if skipped == 0 || !self.is_line(known) {
                return None;
            }
            return self.leave_out_until(known);
        }
        differences.push(
            layout,
            &body[line.start as usize..=line.split as usize],
            line,
        )?;
        let run = differences.run_of(run_of)?;
        // What stands behind another run cannot be put into this one.
        if run < differences.last_own_run {
            return None;
        }
        differences.last_own_run = run;
        differences.lengths[run] += 1;
        self.values.push(body, value)?;
        self.at = line_end + 1;
        Some(())
    }

    /// Counts one more difference; `None` if there are too many.
    fn differ(&mut self) -> Option<&mut Differences<'r>> {
        let differences = self
            .differences
            .get_or_insert_with(|| Differences::new(self.layout, self.next));
        differences.count += 1;
        let count_max = DIFFERENCES_MIN + self.next / DIFFERENCES_PART;
        (differences.count <= count_max).then_some(differences)
    }
}

impl Differences<'_> {
    /// None in the first so many lines.
    fn new(layout: &Layout, lines: usize) -> Self {
        let mut runs: Vec<(usize, Run)> = layout.runs.iter().copied().enumerate().collect();
        runs.sort_unstable_by_key(|(_, run)| run.start);
        let mut all = Vec::with_capacity(layout.lines.len());
        all.extend_from_slice(&layout.lines[..lines]);
        Differences {
            count: 0,
            lines: all,
            text: Vec::new(),
            lengths: runs.iter().map(|(_, run)| run.range().len()).collect(),
            runs,
            last_own_run: 0,
            parser: None,
        }
    }

    /// Where the run of this line of the layout stands among all, in the order of the body.
    fn run_of(&self, line: usize) -> Option<usize> {
        let behind = self
            .runs
            .partition_point(|(_, run)| run.start as usize <= line);
        behind.checked_sub(1)
    }

    /// Appends a line that the layout has not, given its series and the byte behind it, and its place in the body.
    fn push(&mut self, layout: &Layout, series: &[u8], line: Line) -> Option<()> {
        let start = layout.text.len() + self.text.len();
        self.text.extend_from_slice(series);
        if layout.text.len() + self.text.len() >= u32::MAX as usize {
            return None;
        }
        self.lines.push(Line {
            start: offset(start),
            split: offset(start) + (line.split - line.start),
            ..line
        });
        Some(())
    }

    fn finish(self, layout: &Layout) -> Option<Own> {
        let mut runs = layout.runs.clone();
        let mut start = 0;
        for ((number, _), length) in self.runs.into_iter().zip(self.lengths) {
            runs[number] = Span::new(start, start + length);
            start += length;
        }
        // A family that has nothing but its samples would not be one without any.
        let is_left = |run: &Run| !run.range().is_empty();
        let undeclared = layout
            .families
            .iter()
            .filter(|family| !family.is_declared());
        let mut undeclared = undeclared.flat_map(|family| &runs[family.runs.range()]);
        if !undeclared.all(is_left) {
            return None;
        }
        let mut own = Own {
            lines: self.lines,
            runs,
            text: self.text,
            lengths: Lengths::default(),
        };
        for line in &own.lines {
            own.lengths
                .add(*line, own.byte(layout, line.split) == Some(b'}'));
        }
        Some(own)
    }
}

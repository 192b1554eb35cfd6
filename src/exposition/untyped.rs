//! Which histograms and summaries are written as `untyped`.
//!
//! Under the TYPE line of a histogram, Prometheus stores `le="1"` as `le="1.0"`. Under that of a summary it does the
//! same with `quantile`, and under any other TYPE line it leaves both as they are. In the merged text a family has one
//! TYPE line. So it can be a histogram or summary only if every sample of it, of every target, stood under the same
//! TYPE line in its body. Otherwise the family is `untyped`, and the values are written as Prometheus would store them.

use super::{MetricType, split_suffix};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// Names of families, unescaped.
pub(super) type UntypedNames = HashSet<Vec<u8>>;

/// Name and type in the TYPE line under which samples stood, where both can matter; else `None`.
pub(super) type Stood<'n> = Option<(&'n [u8], MetricType)>;

/// The histograms and summaries among `types` that have a sample that did not stand under their TYPE line.
///
/// `samples` has the names of samples in any order; a name may come several times. A family that is no longer a
/// histogram can be a part of another histogram, whose name is shorter. Long names come first, so each name is looked
/// at only once.
pub(super) fn misplaced<'n>(
    mut types: HashMap<&'n [u8], MetricType>,
    mut samples: Vec<(&'n [u8], Stood<'n>)>,
) -> UntypedNames {
    let mut untyped = UntypedNames::new();
    samples.sort_unstable_by_key(|(name, _)| (Reverse(name.len()), *name));
    for same_name in samples.chunk_by(|a, b| a.0 == b.0) {
        let name = same_name[0].0;
        let base = split_suffix(name).map(|(base, suffix)| (base, Some(suffix)));
        for (family, suffix) in [Some((name, None)), base].into_iter().flatten() {
            let Some(&metric_type) = types.get(family) else {
                continue;
            };
            if !suffix.map_or_else(
                || metric_type.has_children(),
                |suffix| metric_type.takes(suffix),
            ) {
                continue;
            }
            let own = Some((family, metric_type));
            if same_name.iter().all(|(_, stood)| *stood == own) {
                break;
            }
            types.remove(family);
            untyped.insert(family.to_vec());
        }
    }
    untyped
}

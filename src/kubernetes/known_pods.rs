//! What became of the pods of the last complete list, so that a pod that is byte for byte what it was then need not be
//! decoded again. Most pods of most lists are such pods.
//!
//! The bytes are not kept: a pod is known by their number and by a hash whose key nobody outside can know. The pods of a list
//! are expected in the order of the last one; where another one stands, it is decoded, and its uid says what to expect
//! behind it. So a pod that came, went or changed costs no other pod anything. Runs in the cache thread or a watch
//! thread.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use memchr::memchr_iter;

use super::pod::{pod_uid, targets_from_pod};
use super::pod_list::Item;
use super::window::Window;
use crate::keyed_hash::KeyedHash;
use crate::target::Target;

/// The pods of a complete list. Some 40 bytes a pod beside its targets, which are shared.
#[derive(Debug)]
pub struct KnownPods {
    key: KeyedHash,
    /// In the order of the list.
    pods: Vec<KnownPod>,
    targets: Vec<Arc<Target>>,
}

#[derive(Debug, Clone, Copy)]
struct KnownPod {
    /// Length and hash of the JSON text.
    bytes: usize,
    hash: u64,
    newlines: usize,
    /// Hash of the uid; 0 for what has none.
    uid: u64,
    /// Where its targets end; they begin where those of the pod before end.
    targets_end: usize,
}

impl Default for KnownPods {
    fn default() -> KnownPods {
        KnownPods {
            key: KeyedHash::new(),
            pods: Vec::new(),
            targets: Vec::new(),
        }
    }
}

impl KnownPods {
    /// The targets of all pods, in the order of the list.
    #[must_use]
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    fn targets_of(&self, index: usize) -> &[Arc<Target>] {
        let end = |pod: &KnownPod| pod.targets_end;
        let begin = index.checked_sub(1).and_then(|i| self.pods.get(i));
        let range = begin.map_or(0, end)..self.pods.get(index).map_or(0, end);
        self.targets.get(range).unwrap_or(&[])
    }
}

/// A list, of one page or of many, while it is being read.
#[derive(Debug)]
pub struct Listing<'k> {
    known: &'k KnownPods,
    /// Index of the known pod that is expected next.
    expected: usize,
    /// The known pods by the hash of their uid, made for the first pod that was not expected.
    by_uid: Option<HashMap<u64, usize>>,
    listed: KnownPods,
}

impl<'k> Listing<'k> {
    /// A list that follows one whose pods are known.
    #[must_use]
    pub fn new(known: &'k KnownPods) -> Listing<'k> {
        Listing {
            known,
            expected: 0,
            by_uid: None,
            listed: KnownPods {
                key: known.key,
                pods: Vec::with_capacity(known.pods.len()),
                targets: Vec::with_capacity(known.targets.len()),
            },
        }
    }

    /// What is known from now on, if the list is complete.
    #[must_use]
    pub fn complete(self) -> KnownPods {
        self.listed
    }

    /// Takes the pod whose `{` was handed on last and leaves the rest of it out. False when that is not possible: for
    /// anything that is no pod, that breaks off, or that is too large.
    pub(super) fn take_next(&mut self, window: &mut Window<'_>) -> bool {
        self.recognise(window) || self.decode(window)
    }

    fn recognise(&mut self, window: &mut Window<'_>) -> bool {
        let Some(&pod) = self.known.pods.get(self.expected) else {
            return false;
        };
        let view = window.view(pod.bytes);
        let Some(json @ [b'{', .., b'}']) = view.get(..pod.bytes) else {
            return false;
        };
        if self.known.key.hash(json) != pod.hash {
            return false;
        }
        window.leave_out(pod.bytes, pod.newlines);
        let targets = self.known.targets_of(self.expected);
        self.listed.targets.extend_from_slice(targets);
        let targets_end = self.listed.targets.len();
        self.listed.pods.push(KnownPod { targets_end, ..pod });
        self.expected += 1;
        true
    }

    fn decode(&mut self, window: &mut Window<'_>) -> bool {
        let mut bytes = 2;
        loop {
            let view = window.view(bytes);
            if view.len() < bytes || view[0] != b'{' {
                return false;
            }
            let mut values = serde_json::Deserializer::from_slice(view).into_iter::<Item>();
            match values.next() {
                Some(Ok(Item(pod))) => {
                    let json = &view[..values.byte_offset()];
                    let (bytes, newlines) = (json.len(), memchr_iter(b'\n', json).count());
                    let hash = self.known.key.hash(json);
                    self.add(pod.as_ref(), bytes, newlines, hash);
                    window.leave_out(bytes, newlines);
                    return true;
                }
                // Twice as much each time: what is decoded in vain stays less than the pod.
                Some(Err(error)) if error.is_eof() => bytes = view.len() * 2,
                _ => return false,
            }
        }
    }

    /// Adds a pod that was decoded in another way, which next time will be so again.
    pub(super) fn add_unknown(&mut self, pod: &Pod) {
        self.add(Some(pod), 0, 0, 0);
    }

    /// The targets that it had become before are kept where they are the same, so that none is in memory twice.
    fn add(&mut self, pod: Option<&Pod>, bytes: usize, newlines: usize, hash: u64) {
        let uid = pod.and_then(pod_uid);
        let uid = uid.map(|uid| self.known.key.hash(uid.as_bytes()));
        let targets = pod.map(targets_from_pod).unwrap_or_default();
        let known = uid.and_then(|uid| self.find(uid));
        let known_targets = known.map_or(&[][..], |index| self.known.targets_of(index));
        if known_targets.iter().map(|target| &**target).eq(&targets) {
            self.listed.targets.extend_from_slice(known_targets);
        } else {
            self.listed
                .targets
                .extend(targets.into_iter().map(Arc::new));
        }
        self.listed.pods.push(KnownPod {
            bytes,
            hash,
            newlines,
            uid: uid.unwrap_or_default(),
            targets_end: self.listed.targets.len(),
        });
        if let Some(index) = known {
            self.expected = index + 1;
        }
    }

    fn find(&mut self, uid: u64) -> Option<usize> {
        let is_it = |index: &usize| self.known.pods[*index].uid == uid;
        // Most often the pod that was expected has changed, or it has gone and the next one stands there.
        let mut near = self.expected..self.known.pods.len().min(self.expected + 2);
        near.find(is_it).or_else(|| {
            let pods = self.known.pods.iter().enumerate();
            let by_uid = self
                .by_uid
                .get_or_insert_with(|| pods.map(|(index, pod)| (pod.uid, index)).collect());
            by_uid.get(&uid).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::kubernetes::pod_list::read_pod_list;

    fn pod(name: &str, ip: u8) -> String {
        format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"metrics-aggregator.apawel.me/job-name":"j"}}}},"status":{{"podIP":"10.0.0.{ip}"}}}}"#
        )
    }

    fn list(known: &KnownPods, pods: &[String]) -> KnownPods {
        let json = format!(r#"{{"kind":"PodList","items":[{}]}}"#, pods.join(","));
        let mut listing = Listing::new(known);
        read_pod_list(json.as_bytes(), &mut listing).unwrap();
        listing.complete()
    }

    /// Names and last bytes of IPs in two lists that follow each other, and which pods of the second are not decoded.
    #[track_caller]
    fn check(before: &[(&str, u8)], after: &[(&str, u8)], recognised: &[&str]) {
        let pods = |pods: &[(&str, u8)]| -> Vec<String> {
            pods.iter().map(|&(name, ip)| pod(name, ip)).collect()
        };
        let mut known = list(&KnownPods::default(), &pods(before));
        // What no pod becomes when it is decoded.
        for target in &mut known.targets {
            Arc::make_mut(target).job = "known".to_owned();
        }
        let listed = list(&known, &pods(after));
        let names: Vec<&str> = listed.targets.iter().map(|target| &*target.pod).collect();
        let expected: Vec<&str> = after.iter().map(|&(name, _)| name).collect();
        assert_eq!(names, expected);
        let of_known = listed.targets.iter().filter(|target| target.job == "known");
        let names: Vec<&str> = of_known.map(|target| &*target.pod).collect();
        assert_eq!(names, recognised);
    }

    #[test]
    fn only_what_is_new_is_decoded() {
        let before = [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)];
        let check = |after: &[(&str, u8)], recognised: &[&str]| check(&before, after, recognised);
        check(&before, &["a", "b", "c", "d", "e"]);
        check(&[], &[]);
        // Changed, new, gone: behind it the others are recognised.
        check(&[("a", 1), ("b", 2), ("c", 1)], &["a", "c"]);
        check(
            &[("a", 1), ("new", 1), ("b", 1), ("c", 1)],
            &["a", "b", "c"],
        );
        check(&[("new", 1), ("a", 1), ("b", 1)], &["a", "b"]);
        // The first pod behind those that are gone tells that they are.
        check(&[("b", 1), ("c", 1), ("d", 1)], &["c", "d"]);
        check(&[("a", 1), ("d", 1), ("e", 1), ("new", 1)], &["a", "e"]);
        // In another order: wherever one follows another as before.
        check(&[("d", 1), ("e", 1), ("a", 1), ("b", 1)], &["e", "b"]);
        check(&[("e", 1), ("d", 1), ("c", 1)], &[]);
        // Twice the same pod, as a list never has it.
        check(&[("a", 1), ("a", 1), ("b", 1)], &["a", "b"]);
    }

    #[test]
    fn a_pod_that_becomes_the_same_keeps_its_targets() {
        let known = list(&KnownPods::default(), &[pod("a", 1), pod("b", 1)]);
        let listed = list(&known, &[pod("a", 1).replace('}', " }"), pod("b", 2)]);
        let [is_same, is_other] =
            [0, 1].map(|i| Arc::ptr_eq(&known.targets[i], &listed.targets[i]));
        assert!(is_same && !is_other);
    }
}

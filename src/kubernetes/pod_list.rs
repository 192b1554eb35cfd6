//! A pod list in JSON → the targets of its pods. Pods are decoded one at a time as the list arrives (`pod_stream.rs`),
//! so memory use depends on the largest pod, not on the list.
//!
//! Only the fields that a target is made from are decoded. All others are skipped, whatever they hold, so a field that
//! this program does not use cannot spoil a list. Takes the response of the API server and the output of
//! `kubectl get pods -o json`. A list that breaks off, or is followed by anything, is an error.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::pod::{Item, targets_from_pod};
use super::pod_stream::take_pods;
use crate::target::Target;

/// What stands beside the pods of a list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PodListEnd {
    /// `metadata.continue`: there are more pods, and this token asks for them.
    pub continue_token: Option<String>,
    /// `metadata.resourceVersion`: where a watch starts.
    pub resource_version: String,
}

/// Appends the targets of each pod of the list, or of one page of it, to `targets`.
///
/// Fields of a pod may be missing or null. When this fails, `targets` holds those of a part of the list, and the caller
/// must drop it.
///
/// # Errors
///
/// When reading fails, when the bytes are not one JSON value, when the value is not a `PodList` or `List` with items,
/// or when a field that is used has another type than Kubernetes gives it.
pub fn read_pod_list(
    reader: impl Read,
    targets: &mut Vec<Arc<Target>>,
) -> Result<PodListEnd, serde_json::Error> {
    let rest = take_pods(reader, |pod| targets.extend(targets_from_pod(pod)))?;
    let mut json = serde_json::Deserializer::from_slice(&rest);
    let end = json.deserialize_map(PodListVisitor(targets))?;
    json.end()?;
    Ok(end)
}

struct PodListVisitor<'t>(&'t mut Vec<Arc<Target>>);

impl<'de> Visitor<'de> for PodListVisitor<'_> {
    type Value = PodListEnd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pod list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PodListEnd, A::Error> {
        let mut kind = None;
        let mut metadata = None;
        let mut items = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "kind" => kind = map.next_value::<Option<String>>()?,
                "metadata" => metadata = map.next_value::<Option<ListMeta>>()?,
                "items" if items.is_some() => return Err(de::Error::duplicate_field("items")),
                "items" => items = Some(map.next_value_seed(Items(&mut *self.0))?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // An error page of a proxy, `{}` for one, must not pass for a cluster without pods.
        if !matches!(kind.as_deref(), Some("PodList" | "List")) {
            return Err(de::Error::custom("expected kind PodList or List"));
        }
        if items.is_none() {
            return Err(de::Error::missing_field("items"));
        }
        let metadata = metadata.unwrap_or_default();
        Ok(PodListEnd {
            continue_token: metadata.continue_.filter(|token| !token.is_empty()),
            resource_version: metadata.resource_version.unwrap_or_default(),
        })
    }
}

/// The array `items`, or null for an empty one, as a server in Go writes it. Pods that were taken out are empty
/// objects, which become no target.
struct Items<'t>(&'t mut Vec<Arc<Target>>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of pods")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Option<Item>>()? {
            if let Some(Item(Some(pod))) = item {
                self.0.extend(targets_from_pod(&pod));
            }
        }
        Ok(())
    }
}

//! A pod list in JSON → the targets of its pods. Pods are decoded one at a time as the list arrives (`pod_stream.rs`),
//! so memory use depends on the largest pod, not on the list.
//!
//! Only the fields that a target needs are decoded. All others are skipped, whatever they contain, so they cannot make
//! a list invalid. Accepts the response of the API server and the output of `kubectl get pods -o json`. A list that
//! breaks off, or is followed by anything, is an error.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::fields::{Partial, ReadField, value};
use super::pod::{Item, targets_from_pod};
use super::pod_stream::take_pods;
use crate::target::Target;

/// The parts of a list besides its pods.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PodListEnd {
    /// `metadata.continue`: the token for the next page, if there is one.
    pub continue_token: Option<String>,
    /// `metadata.resourceVersion`: where a watch starts.
    pub resource_version: String,
}

/// Appends the targets of each pod of the list, or of one page of it, to `targets`.
///
/// Fields of a pod may be missing or null. After an error, `targets` has those of a part of the list, and the caller
/// must drop it.
///
/// # Errors
///
/// Reading fails, the bytes are not one JSON value, the value is not a `PodList` or `List` with items, or a field that
/// is used has another type than in Kubernetes.
pub fn read_pod_list(
    reader: impl Read,
    targets: &mut Vec<Arc<Target>>,
) -> Result<PodListEnd, serde_json::Error> {
    let rest = take_pods(reader, |pod| targets.extend(targets_from_pod(pod)))?;
    let mut json = serde_json::Deserializer::from_slice(&rest);
    let Partial(list) = Partial::<List>::deserialize(&mut json)?;
    json.end()?;
    // An error page of a proxy, such as `{}`, must not count as a cluster without pods.
    if !matches!(list.kind.as_deref(), Some("PodList" | "List")) {
        return Err(de::Error::custom("expected kind PodList or List"));
    }
    let items = list
        .items
        .ok_or_else(|| de::Error::missing_field("items"))?;
    targets.extend(items.into_iter().flat_map(|Items(targets)| targets));
    let metadata = list.metadata.unwrap_or_default();
    Ok(PodListEnd {
        continue_token: metadata.continue_.filter(|token| !token.is_empty()),
        resource_version: metadata.resource_version.unwrap_or_default(),
    })
}

#[derive(Default)]
struct List {
    kind: Option<String>,
    metadata: Option<ListMeta>,
    /// Null is an empty array, as a Go server writes it.
    items: Option<Option<Items>>,
}

impl ReadField for List {
    const WHAT: &'static str = "a pod list";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "kind" => self.kind = value(map)?,
            "metadata" => self.metadata = value(map)?,
            "items" if self.items.is_some() => return Err(de::Error::duplicate_field("items")),
            "items" => self.items = Some(map.next_value()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The targets of the pods that were not taken out. The empty objects in place of the others have no targets.
#[derive(Default)]
struct Items(Vec<Arc<Target>>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Items, D::Error> {
        deserializer.deserialize_seq(Items::default())
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of pods")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Items, A::Error> {
        while let Some(item) = items.next_element::<Option<Item>>()? {
            if let Some(Item(Some(pod))) = item {
                self.0.extend(targets_from_pod(&pod));
            }
        }
        Ok(self)
    }
}

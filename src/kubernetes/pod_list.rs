//! A pod list in JSON → its pods, one at a time as the bytes arrive: memory follows one pod, not the list.
//!
//! Only what a target is made from is decoded; everything else is skipped, whatever it is, so that no field that this
//! program does not use can spoil a list. A pod that is what it was in the list before is not even decoded
//! (`known_pods.rs`). Takes the answer of the API server and the output of `kubectl get pods -o json`. JSON that breaks
//! off or is followed by anything is an error.

use std::cell::RefCell;
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess};
use serde::de::{SeqAccess, Visitor};

use super::known_pods::Listing;
use super::window::{Window, WindowReader};

/// What stands beside the pods of a list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PodListEnd {
    /// `metadata.continue`: there are more pods, and this asks for them.
    pub continue_token: Option<String>,
    /// `metadata.resourceVersion`: what a watch goes on from.
    pub resource_version: String,
}

/// Adds each pod of the list, or of a page of it, in order, and tells how it ends.
///
/// A pod is taken as far as it goes: fields may be missing or null. Whoever calls must drop the listing when this
/// fails. Lines in errors are those of the list; columns leave out the pods before.
///
/// # Errors
///
/// When reading fails, when the bytes are not one JSON value, when it is not a `PodList` or `List` with items, or when
/// a field that is used has another type than Kubernetes gives it.
pub fn read_pod_list(
    mut reader: impl Read,
    listing: &mut Listing<'_>,
) -> Result<PodListEnd, serde_json::Error> {
    let window = RefCell::new(Window::new(&mut reader));
    let mut json = serde_json::Deserializer::from_reader(WindowReader(&window));
    let end = json.deserialize_map(PodListVisitor(Items {
        window: &window,
        listing,
    }))?;
    json.end()?;
    Ok(end)
}

/// Where items come from and where they go. Their deserializer must be one that reads from this window, byte by byte.
struct Items<'a, 'k, 'r> {
    window: &'a RefCell<Window<'r>>,
    listing: &'a mut Listing<'k>,
}

impl<'k, 'r> Items<'_, 'k, 'r> {
    fn reborrow(&mut self) -> Items<'_, 'k, 'r> {
        Items {
            window: self.window,
            listing: self.listing,
        }
    }
}

struct PodListVisitor<'a, 'k, 'r>(Items<'a, 'k, 'r>);

impl<'de> Visitor<'de> for PodListVisitor<'_, '_, '_> {
    type Value = PodListEnd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pod list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<PodListEnd, A::Error> {
        let mut kind = None;
        let mut metadata = None;
        let mut items = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "kind" => kind = map.next_value::<Option<String>>()?,
                "metadata" => metadata = map.next_value::<Option<ListMeta>>()?,
                "items" if items.is_some() => return Err(de::Error::duplicate_field("items")),
                "items" => items = Some(map.next_value_seed(ItemsSeed(self.0.reborrow()))?),
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

/// The array `items`, or null for an empty one, as a server in Go writes it.
struct ItemsSeed<'a, 'k, 'r>(Items<'a, 'k, 'r>);

impl<'de> DeserializeSeed<'de> for ItemsSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemsSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of pods")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while items
            .next_element_seed(ItemSeed(self.0.reborrow()))?
            .is_some()
        {}
        Ok(())
    }
}

/// One item, of which the deserializer has seen no more than that it begins.
struct ItemSeed<'a, 'k, 'r>(Items<'a, 'k, 'r>);

impl<'de> DeserializeSeed<'de> for ItemSeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Items { window, listing } = self.0;
        if listing.take_next(&mut window.borrow_mut()) {
            // The `{}` that is left of it.
            return IgnoredAny::deserialize(deserializer).map(|_| ());
        }
        if let Some(Item(Some(pod))) = Option::<Item>::deserialize(deserializer)? {
            listing.add_unknown(&pod);
        }
        Ok(())
    }
}

/// One item of the list, or the object of a watch event; `None` when it says that it is something else than a pod.
pub(super) struct Item(pub(super) Option<Pod>);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        let Fields(read) = Fields::<PodFields>::deserialize(deserializer)?;
        Ok(Item((!read.is_other).then_some(read.pod)))
    }
}

/// An object of which some fields are read. The others are skipped: they are most of a list's bytes.
struct Fields<T>(T);

/// What can be read so.
trait ReadField: Default {
    /// What is expected where it stands.
    const WHAT: &'static str;

    /// Reads the value of a field that is used; says that another one is to be skipped.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

impl<'de, T: ReadField> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<T>, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(PhantomData))
    }
}

struct FieldsVisitor<T>(PhantomData<T>);

impl<'de, T: ReadField> Visitor<'de> for FieldsVisitor<T> {
    type Value = Fields<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<T>, A::Error> {
        let mut read = T::default();
        while let Some(key) = map.next_key::<String>()? {
            if !read.read(&key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Fields(read))
    }
}

/// The value of a field, where null is as good as none.
fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    map.next_value()
}

fn object<'de, T: ReadField, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    Ok(value::<Fields<T>, A>(map)?.map(|Fields(object)| object))
}

#[derive(Default)]
struct PodFields {
    pod: Pod,
    is_other: bool,
}

impl ReadField for PodFields {
    const WHAT: &'static str = "a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            // The items of a `PodList` have no kind of their own, those of a `List` have.
            "kind" => self.is_other = value::<String, A>(map)?.is_some_and(|kind| kind != "Pod"),
            "metadata" => self.pod.metadata = object(map)?.unwrap_or_default(),
            "spec" => self.pod.spec = object(map)?,
            "status" => self.pod.status = object(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl ReadField for ObjectMeta {
    const WHAT: &'static str = "the metadata of a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "name" => self.name = value(map)?,
            "namespace" => self.namespace = value(map)?,
            "uid" => self.uid = value(map)?,
            "resourceVersion" => self.resource_version = value(map)?,
            "labels" => self.labels = value(map)?,
            "annotations" => self.annotations = value(map)?,
            "deletionTimestamp" => self.deletion_timestamp = value(map)?,
            "ownerReferences" => self.owner_references = value(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl ReadField for PodSpec {
    const WHAT: &'static str = "the spec of a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "nodeName" => self.node_name = value(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl ReadField for PodStatus {
    const WHAT: &'static str = "the status of a pod";

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "phase" => self.phase = value(map)?,
            "podIP" => self.pod_ip = value(map)?,
            "hostIP" => self.host_ip = value(map)?,
            "conditions" => self.conditions = value(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

//! A running cache thread, and how to wait for what it publishes.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::TryRecvError;
use kubernetes_metrics_aggregator::discovery::{
    Discovery, DiscoverySettings, PodSource, TargetCache, WatchTimes,
};
use kubernetes_metrics_aggregator::target::{Target, TargetSet};
use kubernetes_metrics_aggregator::telemetry::{RefreshResult, Telemetry};

use super::eventually;
use super::fake_api::FakeApi;

/// The cache thread, which stops when this is dropped, and what it shares.
pub(crate) struct Running {
    pub(crate) cache: TargetCache,
    pub(crate) telemetry: Arc<Telemetry>,
    /// `None` once it has been stopped.
    pub(crate) discovery: Option<Discovery>,
}

pub(crate) fn settings(source: PodSource, namespaces: &[&str]) -> DiscoverySettings {
    DiscoverySettings {
        source,
        namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
        interval: Duration::from_millis(10),
        watch: None,
        own_address: None,
    }
}

/// By a watch whose pauses after failures do not grow.
pub(crate) fn watch_settings(api: &FakeApi, namespaces: &[&str]) -> DiscoverySettings {
    DiscoverySettings {
        watch: Some(WatchTimes {
            steady: Duration::ZERO,
            ..WatchTimes::default()
        }),
        ..settings(source(api), namespaces)
    }
}

pub(crate) fn start_with(settings: &DiscoverySettings) -> Running {
    let cache = TargetCache::default();
    let telemetry = Arc::new(Telemetry::default());
    let discovery = Discovery::start(settings, cache.clone(), Arc::clone(&telemetry)).unwrap();
    Running {
        cache,
        telemetry,
        discovery: Some(discovery),
    }
}

pub(crate) fn source(api: &FakeApi) -> PodSource {
    PodSource::Url {
        url: api.url(),
        service_account_dir: api.service_account_dir(),
    }
}

pub(crate) fn start(api: &FakeApi, namespaces: &[&str]) -> Running {
    start_with(&settings(source(api), namespaces))
}

/// `namespace/pod` of all targets.
pub(crate) fn names(set: &TargetSet) -> Vec<String> {
    let name = |target: &Arc<Target>| format!("{}/{}", target.namespace, target.pod);
    set.targets().map(name).collect()
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(discovery) = self.discovery.take() {
            discovery.stop();
        }
    }
}

impl Running {
    /// Stops it, and checks that its threads have ended.
    #[track_caller]
    pub(crate) fn check_stops(&mut self) {
        let discovery = self.discovery.take().unwrap();
        let ended = discovery.ended().clone();
        assert_eq!(ended.try_recv(), Err(TryRecvError::Empty));
        discovery.stop();
        assert_eq!(ended.try_recv(), Err(TryRecvError::Disconnected));
        assert!(self.cache.last_error().is_none());
    }

    /// Waits until the pods have been listed once more.
    #[track_caller]
    pub(crate) fn wait_for_another_list(&self) {
        let before = self.cache.last_success();
        eventually("another list", || self.cache.last_success() != before);
    }

    #[track_caller]
    pub(crate) fn wait_for_names(&self, expected: &[&str]) -> Arc<TargetSet> {
        let has_names = || {
            self.cache
                .snapshot()
                .is_some_and(|set| names(&set) == expected)
        };
        eventually(&format!("targets {expected:?}"), has_names);
        self.cache.snapshot().unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, result: RefreshResult) {
        let is_counted = || self.telemetry.refreshes.get(result) > 0;
        eventually(&format!("{result:?}"), is_counted);
    }

    #[track_caller]
    pub(crate) fn wait_for_error(&self) -> Arc<str> {
        eventually("an error", || self.cache.last_error().is_some());
        self.cache.last_error().unwrap()
    }
}

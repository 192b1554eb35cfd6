//! Generated URLs: each is routed or refused, and an encoded value is decoded to what it was. README: "What you get".

use kubernetes_metrics_aggregator::exposition::AskedFamilies;
use kubernetes_metrics_aggregator::server::route::{Route, Selection, route};
use proptest::prelude::*;

/// Every byte but letters and digits as `%XX`.
fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// URLs put together from the parts that matter in one.
fn almost_a_url() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "/",
            "/metrics",
            "?",
            "&",
            "job",
            "=",
            "%",
            "%3F",
            "%3f",
            "%25",
            "%00",
            "+",
            "..",
            "http://",
            "#",
            ";",
            "/-/healthy",
            "/probe",
            "/sd/pods",
            "shard",
            "1/2",
            "target",
            "state",
            "\u{20ac}",
            "a",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_url_is_routed_or_refused(method in "GET|HEAD|.{0,5}", url in almost_a_url()) {
        match route(&method, &url) {
            Ok(Route::Metrics(Selection { jobs, .. })) => {
                let mut once = jobs.clone();
                once.sort();
                once.dedup();
                prop_assert_eq!(once.len(), jobs.len());
                prop_assert!(!jobs.is_empty() && jobs.iter().all(|job| !job.is_empty()));
            }
            Ok(_) => {}
            Err(error) => {
                // One line, whatever it repeats.
                let text = error.to_string();
                prop_assert!(text.len() < 1000 && !text.chars().any(char::is_control), "{text:?}");
            }
        }
    }

    #[test]
    fn jobs_come_out_as_they_went_in(jobs in proptest::collection::btree_set(".{1,20}", 1..4)) {
        let jobs: Vec<String> = jobs.into_iter().filter(|job| !job.is_empty()).collect();
        let encoded: Vec<String> = jobs.iter().map(|job| format!("job={}", percent_encode(job))).collect();
        let url = format!("/metrics?{}", encoded.join("&"));
        let expected = Selection { jobs, shard: None, families: AskedFamilies::default(), absent_ok: false };
        prop_assert_eq!(route("GET", &url), Ok(Route::Metrics(expected)));
    }

    #[test]
    fn a_whole_url_in_the_path_means_the_same(job in "[^&=+%?\\p{C}]{1,20}") {
        // As Prometheus escapes a path.
        let url = format!("/metrics%3Fjob={}", percent_encode(&job));
        let expected = Selection { jobs: vec![job], shard: None, families: AskedFamilies::default(), absent_ok: false };
        prop_assert_eq!(route("GET", &url), Ok(Route::Metrics(expected)));
    }
}

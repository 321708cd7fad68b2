//! What kafka-configs does not show of settings, and other clients do: types, and texts that say what they are for.

use std::collections::BTreeMap;

use caudal_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use caudal_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResponse};
use caudal_tests::raw::Raw;
use caudal_tests::tools::SideBySide;
use kafka_protocol::protocol::StrBytes;

const NODE: i8 = 4;
/// Resources whose settings are the same on both, by type and name.
const SAME: [(i8, &str); 3] = [(2, "lojas"), (16, "medidas"), (32, "turma")];

type Settings = BTreeMap<String, DescribeConfigsResourceResult>;

fn described(bootstrap: &str, kind: i8, name: &'static str, texts: bool) -> Settings {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_documentation(texts);
    let answer: DescribeConfigsResponse = Raw::connect(bootstrap).call(32, 4, true, &request);
    let result = answer.results.into_iter().next().expect("a result");
    assert_eq!(result.error_code, 0, "{result:?}");
    result.configs.into_iter().map(|setting| (setting.name.to_string(), setting)).collect()
}

/// Compares the settings that both have; those of nodes can be read-only on one alone, which `settings` looks at.
pub(crate) fn types_and_texts(both: &SideBySide) {
    for (kind, name) in SAME.into_iter().chain([(NODE, "1")]) {
        let (ours, theirs) =
            (described(both.caudal.bootstrap(), kind, name, true), described(both.kafka.bootstrap(), kind, name, true));
        assert!(!theirs.is_empty(), "{name}");
        if kind != NODE {
            assert!(ours.keys().eq(theirs.keys()), "{name}: {:?} and {:?}", ours.keys(), theirs.keys());
        }
        for (setting, theirs) in &theirs {
            let ours = ours.get(setting).unwrap_or_else(|| panic!("{setting} of {name} is not described"));
            assert_eq!(ours.config_type, theirs.config_type, "the type of {setting} of {name}");
            assert!(kind == NODE || ours.read_only == theirs.read_only, "{setting} of {name}");
            // The words are each one's own.
            let text = |setting: &DescribeConfigsResourceResult| setting.documentation.as_deref().map_or(0, str::len);
            assert!(text(ours) > 0 || text(theirs) == 0, "{setting} of {name} is not explained: {theirs:?}");
        }
        let unasked = described(both.caudal.bootstrap(), kind, name, false);
        assert!(unasked.values().all(|setting| setting.documentation.is_none()), "nobody asked for texts of {name}");
    }
}

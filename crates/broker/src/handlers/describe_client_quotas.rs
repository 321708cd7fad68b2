//! DescribeClientQuotas: what users, client ids and addresses may use (KIP-546).

use caudal_metadata::quotas::{CLIENT_ID, ClientQuotas, EntityName, IP, QuotaEntity, QuotaValues, USER};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::describe_client_quotas_request::{ComponentData, DescribeClientQuotasRequest};
use caudal_protocol::messages::describe_client_quotas_response::{
    DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};

use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::wire;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

pub(crate) struct DescribeClientQuotas {
    cluster: Cluster,
}

/// What is asked for of one type of entity.
#[derive(Debug)]
struct Component {
    kind: StrBytes,
    /// `None` takes any.
    name: Option<EntityName>,
}

impl DescribeClientQuotas {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }
}

impl Handler for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    type Response = DescribeClientQuotasResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        request: DescribeClientQuotasRequest,
    ) -> DescribeClientQuotasResponse {
        match components(request.components) {
            Ok(components) => {
                let found = find(&self.cluster.image().client_quotas, &components, request.strict);
                DescribeClientQuotasResponse::default().with_error_message(None).with_entries(Some(found))
            }
            Err(refusal) => DescribeClientQuotasResponse::default()
                .with_error_code(refusal.code().code())
                .with_error_message(refusal.message())
                .with_entries(None),
        }
    }
}

fn components(asked: Vec<ComponentData>) -> Result<Vec<Component>, Refusal> {
    let mut components: Vec<Component> = Vec::with_capacity(asked.len().min(3));
    for component in asked {
        let component = typed(component)?;
        if components.iter().any(|other| other.kind == component.kind) {
            let text = format!("the type '{}' is in the filter twice; name it once", component.kind);
            return Err(Refusal::invalid_request(text));
        }
        components.push(component);
    }
    let has = |kind: &str| components.iter().any(|component| *component.kind == *kind);
    if has(IP) && (has(USER) || has(CLIENT_ID)) {
        return Err(Refusal::invalid_request("an ip is never combined with a user or a client-id; ask for them apart"));
    }
    Ok(components)
}

fn typed(asked: ComponentData) -> Result<Component, Refusal> {
    let kind = asked.entity_type;
    if kind.is_empty() {
        return Err(Refusal::invalid_request("a type in the filter is empty; name it"));
    }
    if ![USER, CLIENT_ID, IP].contains(&&*kind) {
        // What Kafka answers: another version may know the type.
        let text = format!("there are no quotas for the type '{kind}'; the types are {USER}, {CLIENT_ID} and {IP}");
        return Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, text));
    }
    let name = match (asked.match_type, asked._match) {
        (EXACT, Some(name)) => Some(EntityName::Named(name.to_string())),
        (EXACT, None) => {
            return Err(Refusal::invalid_request(format!("the exact match of the {kind} has no name; give one")));
        }
        (DEFAULT, None) => Some(EntityName::Default),
        (ANY, None) => None,
        (DEFAULT | ANY, Some(_)) => {
            let text = format!("the match of the {kind} has a name, but only an exact one takes it; leave it out");
            return Err(Refusal::invalid_request(text));
        }
        (other, _) => {
            let text = format!("there is no match {other}; 0 is an exact one, 1 the default, 2 any");
            return Err(Refusal::invalid_request(text));
        }
    };
    Ok(Component { kind, name })
}

/// The entities that have a part for each component; a strict request wants those without any other part. Of a strict one without components it wants none.
fn find(quotas: &ClientQuotas, components: &[Component], strict: bool) -> Vec<EntryData> {
    let fits = |entity: &QuotaEntity| {
        let has = |component: &Component| match (entity.part(&component.kind), &component.name) {
            (Some(part), Some(name)) => part == name,
            (Some(_), None) => true,
            (None, _) => false,
        };
        components.iter().all(has) && (!strict || entity.parts().count() == components.len())
    };
    quotas.iter().filter(|(entity, _)| fits(entity)).map(|(entity, values)| entry(entity, values)).collect()
}

fn entry(entity: &QuotaEntity, values: &QuotaValues) -> EntryData {
    let part = |(kind, name): (&'static str, &EntityName)| {
        EntityData::default().with_entity_type(StrBytes::from_static_str(kind)).with_entity_name(name.name().map(wire))
    };
    let values = values.iter().map(|(key, value)| {
        ValueData::default().with_key(StrBytes::from_static_str(key.name())).with_value(value.get())
    });
    EntryData::default().with_entity(entity.parts().map(part).collect()).with_values(values.collect())
}

impl Outcome for DescribeClientQuotasResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(kind: &str, match_type: i8, name: Option<&str>) -> ComponentData {
        ComponentData::default().with_entity_type(wire(kind)).with_match_type(match_type).with_match(name.map(wire))
    }

    #[test]
    fn filters_are_checked_as_kafka_does() {
        let code = |asked: Vec<ComponentData>| components(asked).err().map(|refusal| refusal.code());
        let invalid = Some(ErrorCode::INVALID_REQUEST);
        assert_eq!(code(vec![component("user", 0, Some("u")), component("client-id", 2, None)]), None);
        assert_eq!(code(vec![component("user", 1, None)]), None);
        assert_eq!(code(vec![]), None);
        assert_eq!(code(vec![component("", 2, None)]), invalid);
        assert_eq!(code(vec![component("group", 2, None)]), Some(ErrorCode::UNSUPPORTED_VERSION));
        assert_eq!(code(vec![component("user", 0, None)]), invalid);
        assert_eq!(code(vec![component("user", 1, Some("u"))]), invalid);
        assert_eq!(code(vec![component("user", 2, Some("u"))]), invalid);
        assert_eq!(code(vec![component("user", 7, None)]), invalid);
        assert_eq!(code(vec![component("user", 1, None), component("user", 2, None)]), invalid);
        assert_eq!(code(vec![component("ip", 2, None), component("user", 2, None)]), invalid);
    }
}

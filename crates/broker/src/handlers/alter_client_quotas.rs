//! AlterClientQuotas: what users, client ids and addresses may use (KIP-546).

use std::time::Duration;

use caudal_metadata::quotas::{IP, QuotaValue};
use caudal_metadata::{AlterClientQuotas as Wish, Controller};
use caudal_protocol::messages::alter_client_quotas_request::{
    AlterClientQuotasRequest, EntityData as Asked, EntryData as Alteration,
};
use caudal_protocol::messages::alter_client_quotas_response::{AlterClientQuotasResponse, EntityData, EntryData};

use crate::error::Refusal;
use crate::quotas::address_of;
use crate::table::{Handler, Outcome, RequestContext};

/// How long a change may take; the request carries no time-out of its own.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct AlterClientQuotas {
    controller: Controller,
}

impl AlterClientQuotas {
    pub(crate) fn new(controller: Controller) -> Self {
        Self { controller }
    }
}

impl Handler for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;
    type Response = AlterClientQuotasResponse;

    async fn handle(&self, _context: &RequestContext, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
        let mut checked = Vec::with_capacity(request.entries.len());
        let mut wished = Vec::new();
        for entry in request.entries {
            let refusal = unknown_address(&entry).await;
            if refusal.is_none() {
                wished.push(wish(&entry));
            }
            checked.push((entry.entity, refusal));
        }
        let altered = match wished.is_empty() {
            true => Vec::new(),
            false => self.controller.alter_client_quotas(wished, request.validate_only, WITHIN).await,
        };
        let mut altered = altered.into_iter();
        let results = checked.into_iter().map(|(entity, refusal)| {
            let refusal = refusal.or_else(|| match altered.next() {
                Some(outcome) => outcome.err().map(|error| Refusal::from(&error)),
                None => Some(Refusal::invalid_request("the change had no outcome; try again")),
            });
            result(entity, refusal)
        });
        AlterClientQuotasResponse::default().with_entries(results.collect())
    }
}

/// Where names are sought is no business of the controller's.
async fn unknown_address(entry: &Alteration) -> Option<Refusal> {
    for part in entry.entity.iter().filter(|part| *part.entity_type == *IP) {
        let Some(name) = part.entity_name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if address_of(name).await.is_none() {
            let text = format!("'{name}' is no address, and no address is known by that name; write one like 10.0.0.1");
            return Some(Refusal::invalid_request(text));
        }
    }
    None
}

fn wish(entry: &Alteration) -> Wish {
    let part = |part: &Asked| (part.entity_type.to_string(), part.entity_name.as_deref().map(str::to_owned));
    Wish {
        entity: entry.entity.iter().map(part).collect(),
        ops: entry
            .ops
            .iter()
            .map(|op| (op.key.to_string(), (!op.remove).then_some(QuotaValue::new(op.value))))
            .collect(),
    }
}

fn result(entity: Vec<Asked>, refusal: Option<Refusal>) -> EntryData {
    let part =
        |part: Asked| EntityData::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name);
    let entry = EntryData::default().with_entity(entity.into_iter().map(part).collect());
    match refusal {
        None => entry.with_error_message(None),
        Some(refusal) => entry.with_error_code(refusal.code().code()).with_error_message(refusal.message()),
    }
}

impl Outcome for AlterClientQuotasResponse {
    fn failed(&self) -> bool {
        self.entries.iter().any(|entry| entry.error_code != 0)
    }
}

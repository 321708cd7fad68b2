//! IncrementalAlterConfigs: changes a topic's or a consumer group's own settings one by one (KIP-339).

use caudal_coordinator::Coordinator;
use caudal_metadata::{ConfigOp, Controller};
use caudal_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use caudal_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use crate::error::Refusal;
use crate::handlers::resource::{Alter, Altered, Changed, check_keys};
use crate::log_levels::LogLevels;
use crate::table::{Handler, Outcome, RequestContext};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) struct IncrementalAlterConfigs {
    alter: Alter,
}

impl IncrementalAlterConfigs {
    pub(crate) fn new(controller: Controller, coordinator: Coordinator, log_levels: LogLevels) -> Self {
        Self { alter: Alter::new(controller, coordinator, log_levels) }
    }
}

impl Handler for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    type Response = IncrementalAlterConfigsResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let changes = request.resources.iter().map(|resource| Changed {
            resource_type: resource.resource_type,
            name: resource.resource_name.clone(),
            replace: false,
            change: change(resource),
        });
        let results = self.alter.all(changes.collect(), request.validate_only).await;
        let response = |altered: Altered| {
            AlterConfigsResourceResponse::default()
                .with_error_code(altered.error_code)
                .with_error_message(altered.error_message)
                .with_resource_type(altered.resource_type)
                .with_resource_name(altered.name)
        };
        IncrementalAlterConfigsResponse::default().with_responses(results.into_iter().map(response).collect())
    }
}

fn change(resource: &AlterConfigsResource) -> Result<Vec<ConfigOp>, Refusal> {
    let has_value = |config: &AlterableConfig| config.value.is_some() || config.config_operation == DELETE;
    check_keys(resource.configs.iter().map(|config| (&*config.name, has_value(config))))?;
    resource.configs.iter().map(op).collect()
}

fn op(config: &AlterableConfig) -> Result<ConfigOp, Refusal> {
    let name = config.name.to_string();
    let value = config.value.as_deref().unwrap_or_default().to_owned();
    match config.config_operation {
        SET => Ok(ConfigOp::Set(name, value)),
        DELETE => Ok(ConfigOp::Delete(name)),
        APPEND => Ok(ConfigOp::Append(name, value)),
        SUBTRACT => Ok(ConfigOp::Subtract(name, value)),
        other => Err(Refusal::invalid_request(format!(
            "there is no operation {other}; 0 sets, 1 deletes, 2 appends, 3 subtracts"
        ))),
    }
}

impl Outcome for IncrementalAlterConfigsResponse {
    fn failed(&self) -> bool {
        self.responses.iter().any(|response| response.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(operation: i8, value: Option<&'static str>) -> AlterConfigsResource {
        let config = AlterableConfig::default()
            .with_name("cleanup.policy".into())
            .with_config_operation(operation)
            .with_value(value.map(Into::into));
        AlterConfigsResource::default().with_resource_name("t".into()).with_configs(vec![config])
    }

    #[test]
    fn operations_become_typed() {
        let ops = |operation, value| change(&resource(operation, value));
        let (key, value) = ("cleanup.policy".to_owned(), "compact".to_owned());
        assert_eq!(ops(SET, Some("compact")), Ok(vec![ConfigOp::Set(key.clone(), value.clone())]));
        assert_eq!(ops(DELETE, None), Ok(vec![ConfigOp::Delete(key.clone())]));
        assert_eq!(ops(APPEND, Some("compact")), Ok(vec![ConfigOp::Append(key.clone(), value.clone())]));
        assert_eq!(ops(SUBTRACT, Some("compact")), Ok(vec![ConfigOp::Subtract(key, value)]));
        assert!(ops(SET, None).is_err());
        assert!(ops(7, Some("compact")).is_err());
    }
}

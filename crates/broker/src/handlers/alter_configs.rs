//! AlterConfigs: replaces all of a topic's or a consumer group's own settings. Old clients use it; newer ones use IncrementalAlterConfigs.

use caudal_coordinator::Coordinator;
use caudal_metadata::{ConfigOp, Controller};
use caudal_protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
use caudal_protocol::messages::alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse};

use crate::error::Refusal;
use crate::handlers::resource::{Alter, Altered, Changed, check_keys};
use crate::log_levels::LogLevels;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct AlterConfigs {
    alter: Alter,
}

impl AlterConfigs {
    pub(crate) fn new(controller: Controller, coordinator: Coordinator, log_levels: LogLevels) -> Self {
        Self { alter: Alter::new(controller, coordinator, log_levels) }
    }
}

impl Handler for AlterConfigs {
    type Request = AlterConfigsRequest;
    type Response = AlterConfigsResponse;

    async fn handle(&self, _context: &RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let changes = request.resources.iter().map(|resource| Changed {
            resource_type: resource.resource_type,
            name: resource.resource_name.clone(),
            replace: true,
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
        AlterConfigsResponse::default().with_responses(results.into_iter().map(response).collect())
    }
}

fn change(resource: &AlterConfigsResource) -> Result<Vec<ConfigOp>, Refusal> {
    check_keys(resource.configs.iter().map(|config| (&*config.name, config.value.is_some())))?;
    let set = |(name, value): (&str, &str)| ConfigOp::Set(name.to_owned(), value.to_owned());
    let values = resource.configs.iter().filter_map(|config| Some((&*config.name, config.value.as_deref()?)));
    Ok(values.map(set).collect())
}

impl Outcome for AlterConfigsResponse {
    fn failed(&self) -> bool {
        self.responses.iter().any(|response| response.error_code != 0)
    }
}

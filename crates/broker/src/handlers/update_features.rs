//! UpdateFeatures: raises or lowers the level of a feature (KIP-584). The levels in force are the highest that this version of Caudal serves, and cannot be
//! changed; a wish for the level that is in force is fulfilled.

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use caudal_protocol::messages::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};

use crate::error::Refusal;
use crate::features::{self, Feature};
use crate::table::{Handler, Outcome, RequestContext};

/// Ways of changing a level, as the wire numbers them.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

pub(crate) struct UpdateFeatures;

/// Whether a feature can have the level that is wished for.
fn check(name: &str, level: i16, way: i8) -> Result<(), Refusal> {
    let refused = |reason: String| {
        let text = format!("The level {level} cannot be given to the feature {name}: {reason}");
        Err(Refusal::new(ErrorCode::INVALID_UPDATE_VERSION, text))
    };
    if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&way) {
        return refused(format!("there is no kind of change {way}"));
    }
    let Some(Feature { min, max, .. }) = features::find(name) else {
        return refused("this version of Caudal does not have the feature".to_owned());
    };
    if level < *min || level > *max {
        return refused(format!("this version of Caudal has the levels {min} to {max}"));
    }
    match (level < *max, way) {
        (true, UPGRADE) => refused(format!("{max} is in force, and the change is to be an upgrade")),
        (true, _) => refused(format!(
            "{max} is in force; the levels are those of the version of Caudal that the nodes run, and cannot be lowered"
        )),
        (false, _) => Ok(()),
    }
}

/// How the level is to change; version 0 knew only whether it may be lowered.
fn way(version: i16, update: &FeatureUpdateKey) -> i8 {
    match (version, update.allow_downgrade) {
        (0, true) => SAFE_DOWNGRADE,
        (0, false) => UPGRADE,
        _ => update.upgrade_type,
    }
}

impl Handler for UpdateFeatures {
    type Request = UpdateFeaturesRequest;
    type Response = UpdateFeaturesResponse;

    async fn handle(&self, context: &RequestContext, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
        let response = UpdateFeaturesResponse::default().with_error_message(None);
        // One that fails fails all, as in Kafka.
        let checked = request
            .feature_updates
            .iter()
            .try_for_each(|update| check(&update.feature, update.max_version_level, way(context.version, update)));
        match checked {
            Err(refusal) => response.with_error_code(refusal.code().code()).with_error_message(refusal.message()),
            Ok(()) if context.version >= 2 => response,
            Ok(()) => {
                let done = |update: FeatureUpdateKey| {
                    UpdatableFeatureResult::default().with_feature(update.feature).with_error_message(None)
                };
                response.with_results(request.feature_updates.into_iter().map(done).collect())
            }
        }
    }
}

impl Outcome for UpdateFeaturesResponse {
    fn failed(&self) -> bool {
        self.error_code != 0 || self.results.iter().any(|result| result.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_level_in_force_can_be_had() {
        for way in [UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE] {
            assert_eq!(check("transaction.version", 2, way), Ok(()), "{way}");
        }
        let reason = |name, level, way| check(name, level, way).unwrap_err().to_string();
        for (name, level, way, why) in [
            ("transaction.version", 1, UPGRADE, "to be an upgrade"),
            ("transaction.version", 1, SAFE_DOWNGRADE, "cannot be lowered"),
            ("transaction.version", 0, UNSAFE_DOWNGRADE, "cannot be lowered"),
            ("transaction.version", 3, UPGRADE, "the levels 0 to 2"),
            ("transaction.version", -1, UNSAFE_DOWNGRADE, "the levels 0 to 2"),
            ("metadata.version", 6, SAFE_DOWNGRADE, "the levels 7 to 30"),
            ("share.version", 1, UPGRADE, "does not have the feature"),
            ("transaction.version", 2, 0, "no kind of change 0"),
            ("transaction.version", 2, 4, "no kind of change 4"),
        ] {
            assert!(reason(name, level, way).contains(why), "{}", reason(name, level, way));
        }
        assert_eq!(check("x", 1, 1).unwrap_err().code(), ErrorCode::INVALID_UPDATE_VERSION);
    }

    #[test]
    fn version_0_says_whether_the_level_may_be_lowered() {
        let update = FeatureUpdateKey::default().with_upgrade_type(UNSAFE_DOWNGRADE);
        assert_eq!(way(0, &update), UPGRADE);
        assert_eq!(way(0, &update.clone().with_allow_downgrade(true)), SAFE_DOWNGRADE);
        assert_eq!(way(1, &update), UNSAFE_DOWNGRADE);
    }
}

//! What to do about an error: the flag or the command that helps.

use caudal_client::ClientError;
use caudal_protocol::ErrorCode;

/// Adds advice to an error that a client met, if there is some. Other errors stay as they are.
pub(crate) fn with_advice(error: anyhow::Error) -> anyhow::Error {
    let Some(cause) = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()) else { return error };
    match advice(cause) {
        Some(advice) => anyhow::anyhow!("{}; {advice}", told_once(&error)),
        None => anyhow::anyhow!("{}", told_once(&error)),
    }
}

/// An error with its causes, without those that it has told already.
fn told_once(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{separator}{cause}");
        }
    }
    text
}

fn advice(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::BadBootstrap(_) => Some("--bootstrap or CAUDAL_BOOTSTRAP says where the cluster is"),
        ClientError::Connect { .. } => {
            Some("--bootstrap or CAUDAL_BOOTSTRAP says where the cluster is, --timeout for how long to go on trying")
        }
        ClientError::NotKafka { .. } => Some(
            "--bootstrap takes the port of 'listeners', not that of 'admin.listener' or of the nodes among themselves",
        ),
        ClientError::Broken { .. } | ClientError::Timeout { .. } => {
            Some("try again, or give it longer with --timeout; 'caudal cluster status' shows how the nodes are")
        }
        ClientError::NoLeader { .. } => {
            Some("too few of its replicas are alive: 'caudal cluster status' shows which nodes are missing")
        }
        ClientError::NoCommonVersion { .. } => {
            Some("the cluster is too old for this command, or not Caudal; update its nodes")
        }
        ClientError::Kafka { code, .. } => code_advice(*code),
        _ => None,
    }
}

fn code_advice(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Some("'caudal topic list' shows the topics there are"),
        ErrorCode::GROUP_ID_NOT_FOUND => Some("'caudal group list' shows the groups there are"),
        ErrorCode::TRANSACTIONAL_ID_NOT_FOUND => Some("'caudal transactions list' shows the ids there are"),
        ErrorCode::NON_EMPTY_GROUP
        | ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::ILLEGAL_GENERATION
        | ErrorCode::REBALANCE_IN_PROGRESS
        | ErrorCode::STALE_MEMBER_EPOCH => {
            Some("the group has members; stop them first ('caudal group describe' shows who and where they are)")
        }
        ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => Some("members still read the topic; stop them first"),
        ErrorCode::OFFSET_OUT_OF_RANGE => Some("'caudal log offsets' shows which offsets the partition has"),
        ErrorCode::INVALID_CONFIG => Some("'caudal config search' finds keys with their meanings"),
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {
            Some("its coordinator is moving; try again, or give it longer with --timeout")
        }
        ErrorCode::REQUEST_TIMED_OUT | ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::NOT_CONTROLLER => {
            Some("try again, or give it longer with --timeout; 'caudal cluster status' shows how the nodes are")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn refusal(code: ErrorCode) -> ClientError {
        ClientError::Kafka { what: "describing group 'g'".to_owned(), code, message: None }
    }

    #[test]
    fn errors_say_what_why_and_what_to_do_once() {
        let error = Err::<(), _>(refusal(ErrorCode::GROUP_ID_NOT_FOUND)).context("cannot go on").expect_err("an error");
        let advised = with_advice(error);
        let expected =
            "cannot go on: describing group 'g': GROUP_ID_NOT_FOUND; 'caudal group list' shows the groups there are";
        assert_eq!(format!("{advised:#}"), expected);
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = ClientError::Connect { address: "h:1".to_owned(), source };
        let text = format!("{:#}", with_advice(error.into()));
        assert_eq!(text.matches("connection refused").count(), 1, "{text}");
        assert!(text.contains("--bootstrap"), "{text}");
    }

    #[test]
    fn what_nobody_can_advise_on_stays_as_it_is() {
        let error = with_advice(refusal(ErrorCode::POLICY_VIOLATION).into());
        assert_eq!(error.to_string(), "describing group 'g': POLICY_VIOLATION");
        let other = with_advice(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        assert!(other.downcast_ref::<std::io::Error>().is_some());
    }
}

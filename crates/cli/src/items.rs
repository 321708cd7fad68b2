//! What became of each of the things that a command was to change. One that fails does not keep the others from being tried.

use std::future::Future;

use anyhow::bail;
use caudal_client::ClientError;
use serde::Serialize;

use crate::advice::with_advice;
use crate::output::note;

/// Why something was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// Kafka's name of the error, if the cluster gave one.
    code: Option<String>,
    /// What, why, and what to do.
    message: String,
}

impl Failure {
    /// One that the cluster has nothing to do with.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }

    /// One with advice that only the command has.
    pub(crate) fn advised(error: &ClientError, advice: &str) -> Self {
        Self { code: code(error), message: format!("{error}; {advice}") }
    }

    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

fn code(error: &ClientError) -> Option<String> {
    error.code().map(|code| code.to_string())
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let code = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()).and_then(code);
        Self { code, message: format!("{:#}", with_advice(error)) }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}

/// Something that was to be changed, and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Item<T> {
    #[serde(flatten)]
    pub(crate) what: T,
    /// It was changed. Without an error: there was nothing to do.
    pub(crate) done: bool,
    pub(crate) error: Option<Failure>,
}

impl<T> Item<T> {
    pub(crate) fn new(what: T, outcome: Result<bool, Failure>) -> Self {
        match outcome {
            Ok(done) => Self { what, done, error: None },
            Err(failure) => Self { what, done: false, error: Some(failure) },
        }
    }
}

/// Makes the next change of several, unless the cluster did not answer the last one: each would wait for as long again.
pub(crate) async fn unless_silent<T, R>(
    before: &[Item<T>],
    change: impl Future<Output = Result<R, ClientError>>,
) -> Result<R, Failure> {
    let last = before.last().and_then(|item| item.error.as_ref());
    if last.is_some_and(|failure| failure.code().is_none()) {
        return Err(Failure::new("the rest was not tried, since the cluster did not answer before"));
    }
    change.await.map_err(Failure::from)
}

/// Why some of the items were not changed.
pub(crate) fn failures<T>(items: &[Item<T>]) -> impl Iterator<Item = &Failure> {
    items.iter().filter_map(|item| item.error.as_ref())
}

/// Ends a command whose items are shown: each different failure in a line on the standard error, the last as the command's own.
///
/// # Errors
/// When there is any.
pub(crate) fn conclude<'a>(failures: impl Iterator<Item = &'a Failure>) -> anyhow::Result<()> {
    let mut messages: Vec<&str> = Vec::new();
    for failure in failures {
        if !messages.contains(&failure.message.as_str()) {
            messages.push(&failure.message);
        }
    }
    let Some((last, others)) = messages.split_last() else { return Ok(()) };
    for message in others {
        note(message);
    }
    bail!("{last}")
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use caudal_protocol::ErrorCode;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Serialize)]
    struct Name {
        name: &'static str,
    }

    fn refusal() -> ClientError {
        ClientError::Kafka { what: "deleting group 'g'".to_owned(), code: ErrorCode::GROUP_ID_NOT_FOUND, message: None }
    }

    fn silence() -> ClientError {
        ClientError::NoSuchNode { node: 1, nodes: vec![2] }
    }

    fn item(outcome: Result<bool, Failure>) -> Item<Name> {
        Item::new(Name { name: "g" }, outcome)
    }

    #[test]
    fn items_say_what_became_of_them() {
        let json = |item: Item<Name>| serde_json::to_value(item).expect("JSON");
        assert_eq!(json(item(Ok(true))), json!({ "name": "g", "done": true, "error": null }));
        assert_eq!(json(item(Ok(false))), json!({ "name": "g", "done": false, "error": null }));
        let message = "deleting group 'g': GROUP_ID_NOT_FOUND; 'caudal group list' shows the groups there are";
        let error = json!({ "code": "GROUP_ID_NOT_FOUND", "message": message });
        assert_eq!(json(item(Err(refusal().into()))), json!({ "name": "g", "done": false, "error": error }));
    }

    #[test]
    fn the_command_fails_if_any_item_does() {
        let items = [item(Ok(true)), item(Ok(false))];
        assert!(conclude(failures(&items)).is_ok());
        let items = [item(Ok(true)), item(Err(Failure::new("one"))), item(Err(Failure::new("other")))];
        assert_eq!(conclude(failures(&items)).expect_err("two failed").to_string(), "other");
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_asked_again() {
        let refused = [item(Err(refusal().into()))];
        assert_eq!(unless_silent(&refused, ready(Ok(7))).await, Ok(7));
        let silent = [item(Ok(true)), item(Err(silence().into()))];
        let failure = unless_silent(&silent, ready(Ok(7))).await.expect_err("not tried");
        assert_eq!(failure.code(), None);
        assert_eq!(unless_silent(&[item(Err(failure))], ready(Ok(7))).await.expect_err("nor the next").code(), None);
    }
}

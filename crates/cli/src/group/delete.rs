//! `caudal group delete` and `caudal group delete-offsets`.

use std::io::Write;

use anyhow::bail;
use caudal_client::{ClientError, Place};
use caudal_protocol::ErrorCode;
use clap::Args;

use crate::Connect;
use crate::places::{TopicPartitions, resolve};

/// `caudal group delete`.
#[derive(Args, Clone, Debug)]
pub struct Delete {
    /// The groups' ids
    #[arg(required = true)]
    pub groups: Vec<String>,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal group delete-offsets`.
#[derive(Args, Clone, Debug)]
pub struct DeleteOffsets {
    /// The group's id
    pub group: String,
    /// A topic, or some of its partitions; may be given several times
    #[arg(long, required = true, value_name = "TOPIC[:P,P...]", value_parser = TopicPartitions::parse)]
    pub topic: Vec<TopicPartitions>,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

pub(super) async fn groups(command: Delete, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    for group in &command.groups {
        client.delete_group(group).await?;
        writeln!(out, "Deleted group '{group}' with its offsets.")?;
    }
    Ok(())
}

pub(super) async fn offsets(command: DeleteOffsets, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let group = &command.group;
    let places: Vec<Place> = resolve(&client, &command.topic).await?.into_iter().collect();
    let codes = client.delete_offsets(group, &places).await?;
    let mut failure = None;
    for place in &places {
        let (topic, partition) = place;
        match codes.get(place).copied().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR) {
            ErrorCode::NONE => writeln!(out, "Group '{group}' has no offset of {topic}-{partition} any more.")?,
            code => {
                let what = format!("deleting the offset of group '{group}' in {topic}-{partition}");
                failure.get_or_insert(ClientError::Kafka { what, code, message: None });
            }
        }
    }
    match failure {
        Some(failure) => bail!(failure),
        None => Ok(()),
    }
}

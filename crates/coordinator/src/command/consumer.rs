//! The change of a consumer group's rows.
//!
//! The group's row, the members: each its id and its row (optional), the targets: each the member's id and its target (optional).

use std::sync::Arc;

use super::write_list;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consumer::Partitions;
use crate::rows::{ConsumerGroupRow, ConsumerMemberRow, consumer_target};

/// What has become of a consumer group; members and targets that are not named stay as they are, and those without a row are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerChange {
    pub(crate) row: ConsumerGroupRow,
    pub(crate) members: Vec<(Arc<str>, Option<ConsumerMemberRow>)>,
    pub(crate) targets: Vec<(Arc<str>, Option<Partitions>)>,
}

impl ConsumerChange {
    pub(super) fn write(&self, out: &mut Writer) {
        self.row.write(out);
        write_each(&self.members, out, ConsumerMemberRow::write);
        write_each(&self.targets, out, consumer_target::write);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            row: ConsumerGroupRow::read(reader)?,
            members: read_each(reader, ConsumerMemberRow::read)?,
            targets: read_each(reader, consumer_target::read)?,
        })
    }
}

/// Rows by id; a row that is none any more is removed.
type Rows<T> = Vec<(Arc<str>, Option<T>)>;

fn write_each<T>(rows: &[(Arc<str>, Option<T>)], out: &mut Writer, write: impl Fn(&T, &mut Writer)) {
    write_list(out, rows, |out, (id, row)| {
        out.str(id);
        out.u8(u8::from(row.is_some()));
        if let Some(row) = row {
            write(row, out);
        }
    });
}

fn read_each<T>(
    reader: &mut Reader,
    read: impl Fn(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Rows<T>, DecodeError> {
    reader.list(|reader| {
        let id = reader.str()?.into();
        Ok((id, if reader.u8()? == 0 { None } else { Some(read(reader)?) }))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::rows::consumer_group::tests::any_consumer_group;
    use crate::rows::consumer_member::tests::any_consumer_member;
    use crate::rows::consumer_target::tests::any_target;

    prop_compose! {
        pub(crate) fn any_consumer_change()(
            row in any_consumer_group(),
            members in vec((".{0,4}".prop_map(Arc::from), option::of(any_consumer_member())), 0..3),
            targets in vec((".{0,4}".prop_map(Arc::from), option::of(any_target())), 0..3),
        ) -> ConsumerChange {
            ConsumerChange { row, members, targets }
        }
    }
}

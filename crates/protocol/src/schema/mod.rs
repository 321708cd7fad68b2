//! Looks a request through before it is decoded.
//!
//! The generated decoders allocate arrays by the length that the wire claims: a frame of a dozen bytes can ask for hundreds of gigabytes, and a failed allocation
//! ends the process. So each request is first walked along its schema, without allocating: every length must fit into what is left of the frame, and the elements of all
//! arrays together are bounded. What passes costs no more memory than its elements, which are really there.
//!
//! - [`requests`]: the schemas of the requests that are served
//! - [`operations`]: those of them that operators' tools send
//! - [`telemetry`]: those of them that bring clients' metrics

mod operations;
mod requests;
mod telemetry;

use caudal_types::limits::REQUEST_ELEMENTS_MAX;
pub(crate) use requests::request_schema;

use crate::wire::{Reader, WireError, length};

/// The versions that have a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    from: i16,
    until: i16,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    name: &'static str,
    versions: Versions,
    tag: Option<u32>,
    kind: Kind,
}

/// A field's type. Which of them may be null is left to the decoder: a null allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Fixed(usize),
    String,
    Bytes,
    Array(&'static Self),
    Struct(&'static [Field]),
    OptionalStruct(&'static [Field]),
}

impl Field {
    fn is_in(&self, version: i16) -> bool {
        self.versions.from <= version && version <= self.versions.until
    }
}

/// Walks `body` along `fields`.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn check(fields: &[Field], version: i16, flexible: bool, body: &[u8]) -> Result<(), String> {
    Walk { version, flexible, elements_left: REQUEST_ELEMENTS_MAX }.structure(fields, &mut Reader::new(body))
}

struct Walk {
    version: i16,
    flexible: bool,
    elements_left: usize,
}

impl Walk {
    fn structure(&mut self, fields: &[Field], reader: &mut Reader<'_>) -> Result<(), String> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(&field.kind, reader).map_err(|error| format!("{}: {error}", field.name))?;
        }
        if self.flexible { self.tagged_fields(fields, reader) } else { Ok(()) }
    }

    fn value(&mut self, kind: &Kind, reader: &mut Reader<'_>) -> Result<(), String> {
        match kind {
            Kind::Fixed(len) => skip(reader, *len),
            Kind::String => {
                let len = self.length(reader, |reader| reader.i16().map(i64::from)).map_err(text)?;
                skip(reader, len.unwrap_or(0))
            }
            Kind::Bytes => {
                let len = self.length(reader, |reader| reader.i32().map(i64::from)).map_err(text)?;
                skip(reader, len.unwrap_or(0))
            }
            Kind::Array(element) => self.array(element, reader),
            Kind::Struct(fields) => self.structure(fields, reader),
            Kind::OptionalStruct(fields) => match reader.i8().map_err(text)? {
                1 => self.structure(fields, reader),
                _ => Ok(()),
            },
        }
    }

    fn array(&mut self, element: &Kind, reader: &mut Reader<'_>) -> Result<(), String> {
        let len = self.length(reader, |reader| reader.i32().map(i64::from)).map_err(text)?.unwrap_or(0);
        if len > reader.remaining() {
            // Each element takes a byte at least.
            return Err(format!("an array of {len} elements cannot be in {} bytes", reader.remaining()));
        }
        self.count(len)?;
        (0..len).try_for_each(|_| self.value(element, reader))
    }

    /// A length, compact in flexible versions; `None` stands for null.
    fn length(
        &self,
        reader: &mut Reader<'_>,
        plain: fn(&mut Reader<'_>) -> Result<i64, WireError>,
    ) -> Result<Option<usize>, WireError> {
        let len = if self.flexible { i64::from(reader.uvarint()?) - 1 } else { plain(reader)? };
        if len == -1 { Ok(None) } else { length(len).map(Some) }
    }

    /// The generated decoders read a known tag by its type, whatever its size says: sizes must agree, or the two walks would part.
    fn tagged_fields(&mut self, fields: &[Field], reader: &mut Reader<'_>) -> Result<(), String> {
        let count = reader.uvarint().map_err(text)?;
        for _ in 0..count {
            self.count(1)?;
            let tag = reader.uvarint().map_err(text)?;
            if i32::try_from(tag).is_err() {
                return Err(format!("the tag {tag} is out of range"));
            }
            let size = reader.uvarint().map_err(text)?;
            let value = reader.take(size as usize).map_err(text)?;
            let known = fields.iter().find(|field| field.tag == Some(tag) && field.is_in(self.version));
            if let Some(field) = known {
                let mut value = Reader::new(value);
                self.value(&field.kind, &mut value).map_err(|error| format!("{}: {error}", field.name))?;
                if value.remaining() > 0 {
                    return Err(format!("{}: its tag claims {size} bytes, which are too many", field.name));
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, elements: usize) -> Result<(), String> {
        self.elements_left = self
            .elements_left
            .checked_sub(elements)
            .ok_or_else(|| format!("the request has more than {REQUEST_ELEMENTS_MAX} elements; split it"))?;
        Ok(())
    }
}

fn skip(reader: &mut Reader<'_>, len: usize) -> Result<(), String> {
    reader.take(len).map(|_| ()).map_err(text)
}

fn text(error: WireError) -> String {
    error.to_string()
}

#[cfg(test)]
pub(crate) mod generate;

#[cfg(test)]
mod tests;

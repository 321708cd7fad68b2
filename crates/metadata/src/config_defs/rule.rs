//! Which values of a setting are legal, and how a refusal says so.

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// A whole number in a range, both ends included.
    Whole(i64, i64),
    /// -1, or a whole number in a range.
    MinusOneOr(i64, i64),
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Boolean,
    /// `false`, for this reason.
    OnlyFalse(&'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Some of these, each at most once.
    SomeOf(&'static [&'static str]),
    /// `earliest`, `latest`, or `by_duration:` and a duration as ISO 8601 writes it.
    OffsetReset,
    /// `*`, or pairs of partition and node.
    Replicas,
    /// A number of at least this, with or without a fraction.
    AtLeast(u32),
    /// Numbers for addresses or host names.
    AddressCounts,
}

impl Rule {
    /// Checks a trimmed value.
    ///
    /// # Errors
    /// What would be allowed.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Whole(least, most) => whole(value, least, most),
            Self::MinusOneOr(least, most) => match value.parse::<i64>() {
                Ok(number) if number == -1 || (least..=most).contains(&number) => Ok(()),
                _ => Err(format!("it must be -1, or from {least} to {most}")),
            },
            Self::Ratio => match value.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
                _ => Err("it must be a number between 0 and 1".to_owned()),
            },
            Self::Boolean => boolean(value).map(|_| ()),
            Self::OnlyFalse(reason) => match boolean(value)? {
                true => Err(reason.to_owned()),
                false => Ok(()),
            },
            Self::OneOf(allowed) if allowed.contains(&value) => Ok(()),
            Self::OneOf(allowed) => Err(format!("it must be one of {}", allowed.join(", "))),
            Self::SomeOf(allowed) => some_of(value, allowed),
            Self::OffsetReset if offset_reset(value) => Ok(()),
            Self::OffsetReset => {
                Err("it must be earliest, latest, or by_duration: and a duration such as P1DT2H30M".to_owned())
            }
            Self::AtLeast(least) => match value.parse::<f64>() {
                Ok(number) if number >= f64::from(least) => Ok(()),
                _ => Err(format!("it must be a number of at least {least}")),
            },
            Self::AddressCounts => address_counts(value).map(|_| ()),
            Self::Replicas if replicas(value) => Ok(()),
            Self::Replicas => {
                Err("it must be '*' or a list of PARTITION:NODE pairs with commas between, such as 0:1,1:2".to_owned())
            }
        }
    }
}

pub(super) fn whole(value: &str, least: i64, most: i64) -> Result<(), String> {
    match value.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        _ if most == i64::MAX && least == i64::MIN => Err("it must be a whole number of 64 bits".to_owned()),
        _ if most == i64::MAX => Err(format!("it must be a whole number of at least {least}")),
        _ => Err(format!("it must be a whole number from {least} to {most}")),
    }
}

pub(super) fn boolean(value: &str) -> Result<bool, String> {
    if value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("it must be true or false".to_owned())
    }
}

fn some_of(value: &str, allowed: &[&str]) -> Result<(), String> {
    let items = list_items(value);
    for (position, item) in items.iter().enumerate() {
        if !allowed.contains(item) {
            return Err(format!("it must be a list of {} with commas between", allowed.join(", ")));
        }
        if items[..position].contains(item) {
            return Err(format!("'{item}' is in the list twice; leave one out"));
        }
    }
    Ok(())
}

fn offset_reset(value: &str) -> bool {
    let Some(duration) = value.strip_prefix("by_duration:") else {
        return matches!(value, "earliest" | "latest");
    };
    let Some(duration) = duration.strip_prefix(['P', 'p']) else { return false };
    let (days, time) = match duration.split_once(['T', 't']) {
        Some((days, time)) => (days, Some(time)),
        None => (duration, None),
    };
    let has_parts = !days.is_empty() || time.is_some();
    has_parts && units(days, "D") && time.is_none_or(|time| !time.is_empty() && units(time, "HMS"))
}

/// Whether a text is whole numbers, each followed by one of the `allowed` units, in their order and each at most once.
fn units(mut text: &str, mut allowed: &str) -> bool {
    while !text.is_empty() {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let Some(unit) = text[digits..].chars().next().map(|unit| unit.to_ascii_uppercase()) else { return false };
        let Some(position) = allowed.find(unit).filter(|_| digits > 0) else { return false };
        (text, allowed) = (&text[digits + 1..], &allowed[position + 1..]);
    }
    true
}

/// Numbers for addresses or host names, as they are written: `10.0.0.7:100,gateway:1000`.
///
/// # Errors
/// What is wrong with them.
pub fn address_counts(value: &str) -> Result<Vec<(String, usize)>, String> {
    let count = |item: &str| {
        let (address, count) = item.rsplit_once(':').ok_or("write each as address:number")?;
        let count = count.trim().parse().map_err(|_| format!("write a whole number behind {address}"))?;
        if address.trim().is_empty() {
            Err("write an address before the number".into())
        } else {
            Ok((address.trim().to_owned(), count))
        }
    };
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(count).collect()
}

fn replicas(value: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pair = |item: &str| item.split_once(':').is_some_and(|(partition, node)| number(partition) && number(node));
    value == "*" || list_items(value).into_iter().all(|item| item.is_empty() || pair(item))
}

/// The items of a list value, trimmed; an empty value has none.
pub fn list_items(value: &str) -> Vec<&str> {
    if value.trim().is_empty() { Vec::new() } else { value.split(',').map(str::trim).collect() }
}

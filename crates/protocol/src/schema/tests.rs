use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::generate::{self, Random};
use super::*;
use crate::api::{self, SERVED};
use crate::frame::FrameError;
use crate::fuzzing;

/// Bytes of a Metadata request (version 12, flexible) that claims an array of `count` topics.
fn metadata_claiming(count: u32) -> Vec<u8> {
    let mut frame = vec![0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0];
    let mut plus_one = count + 1;
    while plus_one >= 0x80 {
        frame.push(plus_one as u8 | 0x80);
        plus_one >>= 7;
    }
    frame.push(plus_one as u8);
    frame
}

fn refusal(frame: &[u8]) -> String {
    match fuzzing::request(frame) {
        Err(FrameError::Malformed(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_made_from_the_schema_are_what_the_decoders_read() {
    // The schemas are made from Kafka's own definitions: this also checks the decoders against those.
    let mut random = Random(1);
    for api in SERVED {
        for version in api.min..=api.max {
            for _ in 0..20 {
                let frame = generate::frame(api, version, &mut random);
                let result = fuzzing::request(&frame);
                assert_eq!(result, Ok(()), "{} version {version}: {frame:02x?}", api.name);
            }
        }
    }
}

#[test]
fn an_array_longer_than_the_frame_is_refused_before_memory_is_taken() {
    assert!(refusal(&metadata_claiming(0x7fff_ffff)).contains("topics: an array of 2147483647 elements"));
    let old = [0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff];
    assert!(refusal(&old).contains("topics: an array of 2147483647 elements"));
    let negative = [0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
    assert!(refusal(&negative).contains("topics: the length -256 is negative"));
}

#[test]
fn an_array_that_fits_but_has_too_many_elements_is_refused() {
    let mut frame = metadata_claiming(REQUEST_ELEMENTS_MAX as u32 + 1);
    frame.resize(frame.len() + REQUEST_ELEMENTS_MAX + 1, 0);
    assert!(refusal(&frame).contains("more than 1000000 elements"));
}

#[test]
fn a_known_tag_whose_size_lies_is_refused() {
    let api = api::find(api::key::FETCH).expect("served");
    let fields = request_schema(api.key).expect("has a schema");
    let body = |tag: &[u8]| {
        let mut body = vec![0; 4 + 4 + 4 + 1 + 4 + 4];
        body.extend([2]); // one topic
        body.extend([0; 16]);
        body.extend([2]); // one partition
        body.extend([0; 4 + 4 + 8 + 4 + 8 + 4]);
        body.extend(tag);
        body.extend([0, 1, 1, 0]); // the topic's tags, no forgotten topics, an empty rack, tags
        body
    };
    let mut honest = vec![1, 0, 16];
    honest.extend([5; 16]);
    assert_eq!(check(fields, 17, true, &body(&honest)), Ok(()));
    let short = check(fields, 17, true, &body(&[1, 0, 0]));
    assert!(short.expect_err("refused").contains("replica_directory_id: 16 bytes are missing"));
    let mut long = vec![1, 0, 17];
    long.extend([5; 17]);
    let long = check(fields, 17, true, &body(&long));
    assert!(long.expect_err("refused").contains("claims 17 bytes"));
}

#[test]
fn a_tag_out_of_range_is_refused() {
    let frame = [0, 60, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert!(refusal(&frame).contains("tag 4294967295 is out of range"));
}

#[test]
fn a_truncated_request_is_refused_wherever_it_is_cut() {
    let mut random = Random(2);
    for api in SERVED {
        let frame = generate::frame(api, api.max, &mut random);
        for len in 0..frame.len() {
            let result = fuzzing::request(&frame[..len]);
            assert!(matches!(result, Err(FrameError::Malformed(_))), "{} cut to {len} bytes: {result:?}", api.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn mutated_requests_never_panic(
        which in any::<prop::sample::Index>(),
        seed: u64,
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let api = which.get(SERVED);
        let mut random = Random(seed);
        let version = api.min + random.below((api.max - api.min) as usize + 1) as i16;
        let mut frame = generate::frame(api, version, &mut random);
        for (at, byte) in mutations {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if random.below(4) == 0 {
            frame.truncate(cut.index(frame.len() + 1));
        }
        let _ = fuzzing::request(&frame);
    }

    #[test]
    fn garbage_never_panics(mut frame in prop::collection::vec(any::<u8>(), 0..200), which in any::<prop::sample::Index>()) {
        let _ = fuzzing::request(&frame);
        // Garbage behind a header that is served goes further.
        let api = which.get(SERVED);
        frame.splice(0..0, [0, api.key as u8, 0, api.max as u8, 0, 0, 0, 1, 0xff, 0xff]);
        let _ = fuzzing::request(&frame);
    }
}

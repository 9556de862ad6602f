//! Tokens are read as they were written, and nothing else is read.

use proptest::prelude::*;

use super::*;

const NODE: NodeId = NodeId([0xab; 16]);

proptest! {
    #[test]
    fn a_token_is_read_as_it_was_written(lsn in any::<u64>(), row in any::<u32>(), stamp in any::<u64>(), upto in any::<u64>(), number in any::<u32>()) {
        let place = Place { lsn: Lsn(lsn), row, stamp, among: None };
        let token = place.token(NODE);
        prop_assert!(token.len() <= TOKEN_BYTES_MAX);
        prop_assert_eq!(Place::read(&token, NODE).unwrap(), place);
        prop_assert!(Place::read(&token, NodeId([0xac; 16])).is_err());
        // One of several events that have it together: another id, and the same place to go on from.
        let one = Place { among: Some((Lsn(upto), number)), ..place };
        let id = one.token(NODE);
        prop_assert!(id.len() <= TOKEN_BYTES_MAX);
        prop_assert!(id != token);
        prop_assert_eq!(Place::read(&id, NODE).unwrap(), place);
        let behind = place.next();
        prop_assert!(behind >= place.lsn);
    }

    #[test]
    fn any_text_is_a_token_or_an_error(text in "[0-9a-f.+ -]{0,40}|.{0,90}") {
        if let Ok(place) = Place::read(&text, NODE) {
            let again = Place::read(&place.token(NODE), NODE).unwrap();
            prop_assert_eq!(again, place);
        }
    }
}

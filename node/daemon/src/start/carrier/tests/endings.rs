//! How connections end, and by when tries do.

use super::super::stream::{Names, Trouble};
use super::*;

/// What is done with a connection.
type Work = Box<dyn FnOnce(TcpStream) + Send>;

/// A server of so many connections, one behind the other, at a port that stays its own.
fn serve_each(works: Vec<Work>) -> (TcpListener, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let accepts = listener.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        works
            .into_iter()
            .for_each(|work| work(accepts.accept().unwrap().0));
    });
    (listener, thread)
}

#[test]
fn a_connection_that_breaks_off_upon_an_event_is_told_from_one_that_is_not_there() {
    // Let in, and closed upon the message; the message before it was taken.
    let (held, server) = serve_once(|mut stream| {
        packet_of(&mut stream);
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        let (_, rest) = packet_of(&mut stream).unwrap();
        let number = number_of(&rest);
        stream.write_all(&[0x40, 2, number[0], number[1]]).unwrap();
        packet_of(&mut stream);
    });
    let port = held.local_addr().unwrap().port();
    let mut broker = line(
        &format!("mqtt://127.0.0.1:{port}/t"),
        &[("timeout", "10 s")],
    );
    let carried = broker.carry(&parcels(2));
    assert!(
        matches!(
            &carried,
            Carried {
                taken: 1,
                setback: Some(Setback::BrokeOff(_))
            }
        ),
        "{carried:?}"
    );
    server.join().unwrap();
    // Nobody answers any more; and before anybody was let in, nothing was sent that could be at fault.
    let soon = [("timeout", "100 ms")];
    let carried = line(&format!("mqtt://127.0.0.1:{port}/t"), &soon).carry(&parcels(1));
    assert!(matches!(carried.setback, Some(Setback::Away(_))));
    let (port, server) = serve(|mut stream| drop(packet_of(&mut stream)));
    let carried = line(&format!("mqtt://127.0.0.1:{port}/t"), &[]).carry(&parcels(1));
    assert!(matches!(carried.setback, Some(Setback::Away(_))));
    server.join().unwrap();
    // One that was let in long before may have been given up since.
    let (port, server) = serve(|mut stream| {
        packet_of(&mut stream);
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        let (_, rest) = packet_of(&mut stream).unwrap();
        let number = number_of(&rest);
        stream.write_all(&[0x40, 2, number[0], number[1]]).unwrap();
    });
    let mut broker = line(&format!("mqtt://127.0.0.1:{port}/t"), &[("timeout", "5 s")]);
    assert_eq!(broker.carry(&parcels(1)), Carried::all(1));
    server.join().unwrap();
    let carried = broker.carry(&parcels(1));
    assert!(
        matches!(carried.setback, Some(Setback::Away(_))),
        "{carried:?}"
    );
    // A hook that closes upon an event without a word and answers what is asked of its address, and one that does not
    // answer.
    let (held, server) = serve_each(vec![
        Box::new(|mut stream| drop(head(&mut stream))),
        Box::new(|mut stream| {
            assert!(head(&mut stream).starts_with("options / "));
            let answer = b"HTTP/1.1 405 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
        }),
    ]);
    let port = held.local_addr().unwrap().port();
    let mut hook = line(&format!("http://127.0.0.1:{port}/"), &[("timeout", "10 s")]);
    let carried = hook.carry(&parcels(1));
    assert!(
        matches!(carried.setback, Some(Setback::BrokeOff(_))),
        "{carried:?}"
    );
    server.join().unwrap();
    // What lets everybody in and closes says nothing of the event.
    let (closes, server) = serve_each(vec![
        Box::new(|mut stream| drop(head(&mut stream))),
        Box::new(drop),
    ]);
    let address = closes.local_addr().unwrap();
    let mut hook = line(&format!("http://{address}/"), &[("timeout", "10 s")]);
    let carried = hook.carry(&parcels(1));
    assert!(
        matches!(carried.setback, Some(Setback::Away(_))),
        "{carried:?}"
    );
    server.join().unwrap();
    // What is let in and hears nothing says that it takes too long, be it for the way or for who is there.
    let carried = line(&format!("http://127.0.0.1:{port}/"), &soon).carry(&parcels(1));
    assert!(
        matches!(carried.setback, Some(Setback::Late(_))),
        "{carried:?}"
    );
}

#[test]
fn a_try_has_an_end_however_slowly_tls_is_spoken() {
    for scheme in ["mqtts", "https"] {
        // A record that is whole long after anybody waits for it: each byte comes in time.
        let (port, server) = serve(|mut stream| {
            let begun = Instant::now();
            let _ = stream.write_all(&[0x16, 3, 3, 0x40, 0]);
            while begun.elapsed() < SLOW && stream.write_all(&[2]).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let begun = Instant::now();
        let carried = line(
            &format!("{scheme}://127.0.0.1:{port}/t"),
            &[("timeout", "500 ms")],
        )
        .carry(&parcels(1));
        assert!(begun.elapsed() < SLOW / 2, "{scheme}");
        assert!(
            matches!(carried.setback, Some(Setback::Away(_))),
            "{carried:?}"
        );
        server.join().unwrap();
    }
}

#[test]
fn what_a_broker_acknowledged_before_the_time_was_over_is_taken() {
    // It takes two messages, and of the others not a byte; what lies in buffers is less than all of them.
    let (give_up, given_up) = std::sync::mpsc::channel();
    let (port, server) = serve(move |mut stream| {
        packet_of(&mut stream);
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        for _ in 0..2 {
            let (_, rest) = packet_of(&mut stream).unwrap();
            let number = number_of(&rest);
            stream.write_all(&[0x40, 2, number[0], number[1]]).unwrap();
        }
        given_up.recv().unwrap();
    });
    let mut many = parcels(24);
    for parcel in &mut many {
        parcel.body.resize(1 << 20, b' ');
    }
    let mut broker = line(&format!("mqtt://127.0.0.1:{port}/t"), &[("timeout", "3 s")]);
    let carried = broker.carry(&many);
    drop(broker);
    give_up.send(()).unwrap();
    assert!(
        matches!(
            &carried,
            Carried {
                taken: 2,
                setback: Some(Setback::Late(_))
            }
        ),
        "{carried:?}"
    );
    server.join().unwrap();
    // One that takes all and says nothing, and a hook that does.
    let (port, server) = serve(|mut stream| {
        packet_of(&mut stream);
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let soon = [("timeout", "500 ms")];
    let carried = line(&format!("mqtt://127.0.0.1:{port}/t"), &soon).carry(&parcels(2));
    assert!(
        matches!(carried.setback, Some(Setback::Late(_))),
        "{carried:?}"
    );
    server.join().unwrap();
    let (port, server) = serve(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let carried = line(&format!("http://127.0.0.1:{port}/"), &soon).carry(&parcels(1));
    assert!(
        matches!(carried.setback, Some(Setback::Late(_))),
        "{carried:?}"
    );
    server.join().unwrap();
}

#[test]
fn a_name_that_is_not_found_in_time_is_looked_up_once() {
    let (answer, answers) = std::sync::mpsc::channel::<()>();
    let mut names = Names::default();
    let soon = || Instant::now() + Duration::from_millis(50);
    let asked = names.asked(soon(), "h", move || {
        answers.recv().unwrap();
        Ok(vec!["127.0.0.1:7".parse().unwrap()])
    });
    assert!(matches!(asked, Err(Trouble::Other(why)) if why.contains("in time")));
    let again = || panic!("it is asked for already");
    assert!(names.asked(soon(), "h", again).is_err());
    answer.send(()).unwrap();
    let found = names.asked(Instant::now() + SLOW, "h", again).unwrap();
    assert_eq!(found[0].port(), 7);
}

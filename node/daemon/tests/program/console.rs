//! The console in a real browser: every part of it, light and dark and as narrow as a phone; a login; and names and values
//! that would be scripts if they were ever taken for markup.

use serde_json::{Value, json};

use crate::browser::{Browser, View};
use crate::process::{Node, PATIENCE};

const VIEWS: [View; 3] = [
    View {
        name: "light",
        dark: false,
        width: 1280,
    },
    View {
        name: "dark",
        dark: true,
        width: 1280,
    },
    View {
        name: "phone",
        dark: true,
        width: 390,
    },
];

fn with_readings(dir: &std::path::Path) -> Node {
    let node = Node::start(dir, &["--dev"]);
    node.execute(
        "CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts)) \
         WITH (ttl = '3000d')",
    );
    node.execute(
        "INSERT INTO plant.readings (device, ts, temp) VALUES ('p1', '2026-01-01T00:00:00', 20.5), \
         ('p2', '2026-01-01T00:00:00', 30), ('p1', '2026-01-01T00:01:00', 21), ('p2', '2026-01-01T00:01:00', 29.5)",
    );
    node
}

/// Puts a statement into the editor and runs it, or what another button does with it.
fn statement(browser: &Browser, sql: &str, button: &str) {
    browser.run("document.getElementById('took').textContent = ''");
    browser.write("#statement", sql);
    browser.click(button);
    browser.until("/row|done|failed|cancelled/.test(document.getElementById('took').textContent)");
}

fn part(browser: &Browser, node: &Node, name: &str) {
    browser.open(&format!("{}/#{name}", node.url()));
    browser.until(&format!(
        "document.querySelector('main').classList.contains('{name}')"
    ));
}

#[test]
fn every_part_works_in_light_and_dark_and_on_a_phone() {
    let dir = tempfile::tempdir().unwrap();
    let node = with_readings(dir.path());
    for view in VIEWS {
        let Some(browser) = Browser::start(view) else {
            return;
        };
        look_at(&browser, &node, view);
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{}", view.name);
    }
    assert_eq!(node.stop(), Some(0));
}

fn look_at(browser: &Browser, node: &Node, view: View) {
    part(browser, node, "overview");
    browser.until("document.querySelectorAll('.tile').length >= 6");
    browser.until("document.body.innerText.includes('plant.readings')");
    assert!(browser.text("main").contains("Nothing needs action"));
    browser.until("document.getElementById('state').textContent === 'ready'");
    let page = browser.run("return getComputedStyle(document.body).backgroundColor");
    let is_dark = page == json!("rgb(16, 20, 24)");
    assert_eq!(is_dark, view.dark, "{page}");
    browser.picture("overview");

    part(browser, node, "sql");
    editor(browser);
    part(browser, node, "live");
    tail(browser, node);
    part(browser, node, "edges");
    browser.until("document.body.innerText.includes('What happened')");
    browser.picture("edges");
    part(browser, node, "plugins");
    browser.until("document.body.innerText.includes('No plugin is deployed')");
    browser.picture("plugins");
    // Nothing stands out of the page at its side.
    let out = browser.run("return document.documentElement.scrollWidth - innerWidth");
    assert_eq!(out, json!(0), "{}", view.name);

    // The switch goes from the system's colours to light, to dark, and back.
    browser.click("#theme");
    assert_eq!(
        browser.run("return document.documentElement.dataset.theme"),
        json!("light")
    );
    browser.click("#theme");
    assert_eq!(
        browser.run("return document.documentElement.dataset.theme"),
        json!("dark")
    );
    browser.click("#theme");
    assert!(
        browser
            .run("return document.documentElement.dataset.theme")
            .is_null()
    );
}

fn editor(browser: &Browser) {
    // Of a hundred thousand rows those are in the page that are seen.
    let many = "SELECT value AS n, value * 0.5 AS half, repeat('x', 20) AS text FROM generate_series(1, 100000) ORDER BY 1";
    statement(browser, many, "#run");
    assert!(
        browser.text("#took").starts_with("100,000 rows"),
        "{}",
        browser.text("#took")
    );
    browser.until("document.querySelector('.grid').getAttribute('aria-rowcount') === '100001'");
    let shown = browser.until("document.querySelectorAll('.grid .row').length");
    assert!(shown.as_u64().unwrap() < 100, "{shown}");
    let ms = browser.run(
        "const box = document.querySelector('.grid'); const began = performance.now(); \
         for (let at = 0; at < 50; at++) { box.scrollTop = at * 50000; box.dispatchEvent(new Event('scroll')); } \
         box.scrollTop = box.scrollHeight; return performance.now() - began",
    );
    assert!(ms.as_f64().unwrap() < PATIENCE.as_secs_f64() * 1000.0);
    browser.until("[...document.querySelectorAll('.grid .row')].some(row => row.firstChild.textContent === '100000')");
    browser.picture("rows");

    statement(
        browser,
        "SELECT device, ts, temp FROM plant.readings WHERE device LIKE 'p_' ORDER BY ts",
        "#run",
    );
    browser.click("#as-chart");
    browser.until(
        "document.querySelector('.chart canvas')?.getAttribute('aria-label')?.includes('2 lines')",
    );
    // Something other than the background was drawn.
    browser.until(
        "(() => { const canvas = document.querySelector('.chart canvas'); \
         const dots = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
         return new Set(Array.from({length: dots.length / 4}, (_, at) => `${dots[at * 4]} ${dots[at * 4 + 1]} ${dots[at * 4 + 2]} ${dots[at * 4 + 3]}`)).size > 20 })()",
    );
    browser.picture("chart");

    statement(
        browser,
        "SELECT device\nFROM plant.readings\nGRUOP BY device",
        "#run",
    );
    assert!(
        browser.text("#result").contains("line 3"),
        "{}",
        browser.text("#result")
    );
    assert_eq!(
        browser.run("return document.querySelector('.editor .at').textContent"),
        json!("3")
    );
    let marked = "const box = document.getElementById('statement'); return box.value.slice(box.selectionStart, box.selectionEnd)";
    assert_eq!(browser.run(marked), json!("BY"));
    assert_eq!(browser.text("#result mark"), "BY");
    browser.picture("fault");

    statement(
        browser,
        "SELECT device, max(temp) FROM plant.readings GROUP BY device",
        "#explain",
    );
    assert!(browser.text("#result").contains("plant.readings"));
    browser.picture("plan");
    // What holds a secret is run and not kept.
    statement(
        browser,
        "ALTER SINK no_such SET (header_authorization = 's3cret')",
        "#run",
    );
    assert!(
        browser.text("#result").contains("no_such"),
        "{}",
        browser.text("#result")
    );
    let kept = browser.run("return JSON.stringify({ ...localStorage })");
    let kept = kept.as_str().unwrap();
    assert!(kept.contains("GRUOP") && !kept.contains("s3cret"), "{kept}");
    browser.click("#history");
    browser.until("document.querySelectorAll('.history button').length >= 4");
    browser.click(".history button:nth-child(2)");
    assert!(
        browser
            .run("return document.getElementById('statement').value")
            .as_str()
            .unwrap()
            .contains("GRUOP")
    );

    browser.run("document.getElementById('took').textContent = ''");
    browser.write("#statement", "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 7");
    browser.click("#run");
    browser.until("!document.getElementById('cancel').disabled");
    browser.click("#cancel");
    browser.until("document.getElementById('took').textContent === 'cancelled'");
}

fn tail(browser: &Browser, node: &Node) {
    browser.write(
        "#live-query",
        "SELECT device, temp FROM plant.readings WHERE temp > 80",
    );
    browser.click("#follow");
    browser.until("document.getElementById('told').textContent.startsWith('following')");
    browser.until("document.getElementById('events').innerText.includes('Waiting')");
    let insert = |device: &str, temp: u32| {
        node.execute(&format!(
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('{device}', now(), {temp})"
        ));
    };
    // Whatever was written before the node had begun to tell is not told.
    let began = std::time::Instant::now();
    while !browser.text("#events").contains("hot") {
        insert("hot", 90);
        insert("cold", 10);
        assert!(began.elapsed() < PATIENCE, "{}", browser.text("body"));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(!browser.text("#events").contains("cold"));
    browser.picture("live");
    browser.click("#pause");
    insert("later", 91);
    browser.until("/paused, [1-9]/.test(document.getElementById('told').textContent)");
    assert!(!browser.text("#events").contains("later"));
    browser.click("#pause");
    browser.until("document.getElementById('events').innerText.includes('later')");
    browser.write("#filter", "LATER");
    browser.until("!document.getElementById('events').innerText.includes('hot')");
    browser.click("#follow");
    browser.until("document.getElementById('told').textContent.startsWith('not following')");
}

#[test]
fn names_and_values_are_never_markup() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &["--dev"]);
    let evil = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>";
    node.execute("CREATE KEYSPACE plant");
    node.execute("CREATE TABLE plant.\"<img src=x onerror=hit=1>\" (k TEXT PRIMARY KEY, \"<svg onload=hit=1>\" TEXT)");
    let table = "plant.\"<img src=x onerror=hit=1>\"";
    node.execute(&format!(
        "INSERT INTO {table} VALUES ('{evil}', '\"><script>window.hit=1</script>')"
    ));
    let Some(browser) = Browser::start(VIEWS[0]) else {
        return;
    };
    part(&browser, &node, "overview");
    browser.until("document.body.innerText.includes('onerror=hit')");
    // Its name is a link to a statement about it.
    browser.click(".plain a");
    browser.until("document.getElementById('took')?.textContent.startsWith('1 row')");
    browser.until("document.querySelector('.grid').innerText.includes('<img src=x onerror')");
    statement(
        &browser,
        &format!("SELECT \"{}\" FROM {table}", evil.replace('"', "\"\"")),
        "#run",
    );
    assert!(
        browser.text("#result").contains("<img"),
        "{}",
        browser.text("#result")
    );
    statement(&browser, &format!("EXPLAIN SELECT * FROM {table}"), "#run");
    browser.click("#history");
    part(&browser, &node, "live");
    browser.write("#live-query", &format!("SELECT * FROM {table}"));
    browser.click("#snapshot");
    browser.click("#follow");
    browser.until("document.getElementById('events').innerText.includes('<img src=x onerror')");
    // A statement in the address is none: whoever follows a link of somebody else runs nothing.
    browser.open("about:blank");
    browser.open(&format!("{}/#sql/DROP%20KEYSPACE%20plant", node.url()));
    browser.until("document.querySelectorAll('.tile').length > 0");
    assert_eq!(node.rows("SELECT count(*) FROM system.tables"), ["1"]);
    assert_eq!(browser.run("return window.hit ?? 0"), json!(0));
    assert_eq!(
        browser.run(
            "return document.querySelectorAll('main img, main svg[onload], main script').length"
        ),
        json!(0)
    );
    // Even a script that got into the page could not put markup there, or run code that is not the node's.
    let refused = "try { document.body.innerHTML = '<b>x</b>'; return 'done' } catch (error) { return error.name }";
    assert_eq!(browser.run(refused), json!("TypeError"));
}

#[test]
fn a_login_is_asked_for_kept_for_the_tab_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let node = with_readings(dir.path());
    node.execute("CREATE USER admin WITH SUPERUSER PASSWORD 'open sesame'");
    let Some(browser) = Browser::start(VIEWS[0]) else {
        return;
    };
    browser.open(&format!("{}/", node.url()));
    let log_in = |name: &str, secret: &str| {
        browser.until("document.getElementById('login').open");
        browser.write("#login input[name=name]", name);
        browser.write("#login input[name=secret]", secret);
        browser.click("#login button");
    };
    browser.until("document.getElementById('login').open");
    browser.picture("login");
    log_in("admin", "wrong");
    browser.until(
        "/wrong|password/.test(document.querySelector('#login [role=alert]')?.textContent ?? '')",
    );
    log_in("admin", "open sesame");
    browser.until("document.getElementById('state').textContent === 'ready'");
    browser.until("document.body.innerText.includes('plant.readings')");
    assert_eq!(browser.run("return Object.keys(localStorage).some(key => /log/.test(key) && key !== 'activestore.theme')"), json!(false));
    assert_eq!(browser.run("return document.cookie"), json!(""));
    // A page that is loaded anew in the same tab is not asked again.
    browser.open(&format!("{}/#plugins", node.url()));
    browser.run("location.reload()");
    browser.until("document.body.innerText.includes('No plugin is deployed')");
    browser.click("#leave");
    browser.until("document.getElementById('login').open");
    assert!(
        browser
            .run("return sessionStorage.getItem('activestore.login')")
            .is_null()
    );
    // A token stands alone.
    let mut made = ureq::post(format!("{}/v1/sql", node.url()))
        .header("authorization", "Basic YWRtaW46b3BlbiBzZXNhbWU=")
        .send_json(json!({"sql": "CREATE TOKEN FOR admin"}))
        .unwrap();
    let made: Value = made.body_mut().read_json().unwrap();
    let columns = made["columns"].as_array().unwrap();
    let place = columns
        .iter()
        .position(|column| column["name"] == "token")
        .unwrap();
    log_in("", made["rows"][0][place].as_str().unwrap());
    browser.until("document.body.innerText.includes('No plugin is deployed')");
}

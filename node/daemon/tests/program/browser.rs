//! A real browser without a window, over chromedriver's own protocol: W3C WebDriver, which is JSON over HTTP.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::process::PATIENCE;

/// Names the folder that pictures of the page are written to, for people to look at.
const PICTURES: &str = "ACTIVESTORE_PICTURES";
/// What chromedriver calls an element in its answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Chromedriver, and one session with a browser.
pub struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    name: String,
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub name: &'static str,
    pub dark: bool,
    pub width: u32,
}

impl Browser {
    /// Starts one; `None` where Chromium or its driver is not installed, which is said.
    pub fn start(view: View) -> Option<Browser> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut driver) = driver else {
            eprintln!("skipped: chromedriver is not installed (Debian: chromium chromium-driver)");
            return None;
        };
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said.by_ref().find_map(|line| {
            let line = line.ok()?;
            let rest = line.split_once("started successfully on port ")?.1;
            Some(rest.trim_end_matches('.').to_owned())
        });
        let port = port.expect("chromedriver says its port");
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let mut browser = Browser {
            driver,
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            name: view.name.to_owned(),
        };
        let size = format!("--window-size={},900", view.width);
        let begun = browser.post(
            "",
            &json!({"capabilities": {"alwaysMatch": {"browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu",
                    "--disable-dev-shm-usage", "--hide-scrollbars", size]}}}}),
        );
        let id = begun["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no browser: {begun}"));
        browser.session = format!("{}/{id}", browser.session);
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
        if view.width < 500 {
            // A window is never so narrow as a phone.
            let size =
                json!({"width": view.width, "height": 844, "deviceScaleFactor": 1, "mobile": true});
            browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        }
        Some(browser)
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("/goog/cdp/execute", &body);
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let mut answer = self
            .agent
            .post(format!("{}{path}", self.session))
            .send_json(body)
            .unwrap();
        let mut answer: Value = answer.body_mut().read_json().unwrap();
        answer["value"].take()
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// Runs a script in the page: what it returns.
    pub fn run(&self, script: &str) -> Value {
        let value = self.post("/execute/sync", &json!({"script": script, "args": []}));
        assert!(
            value["error"].is_null() || value["stacktrace"].is_null(),
            "{script}: {value}"
        );
        value
    }

    /// Waits until an expression of the page holds; gives its value.
    pub fn until(&self, expression: &str) -> Value {
        let began = Instant::now();
        loop {
            // What it looks at may not be there yet.
            let value = self.run(&format!(
                "try {{ return {expression} }} catch {{ return false }}"
            ));
            if !matches!(&value, Value::Null | Value::Bool(false))
                && value != json!("")
                && value != json!(0)
            {
                return value;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{}: {expression} does not hold: {}",
                self.name,
                self.text("body")
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// The text that somebody sees in an element.
    pub fn text(&self, selector: &str) -> String {
        let script = format!(
            "return document.querySelector({}).innerText",
            json!(selector)
        );
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    fn element(&self, selector: &str) -> String {
        self.until(&format!(
            "document.querySelector({}) !== null",
            json!(selector)
        ));
        let found = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", &found);
        found[ELEMENT]
            .as_str()
            .unwrap_or_else(|| panic!("{selector}: {found}"))
            .to_owned()
    }

    /// Clicks as a person does: not on what is hidden, or under something else.
    pub fn click(&self, selector: &str) {
        let began = Instant::now();
        loop {
            let element = self.element(selector);
            let clicked = self.post(&format!("/element/{element}/click"), &json!({}));
            if clicked.is_null() {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{}: {selector}: {clicked}",
                self.name
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Types into a field in place of what is there.
    pub fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/clear"), &json!({}));
        if text.is_empty() {
            return;
        }
        let written = self.post(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
        assert!(written.is_null(), "{selector}: {written}");
    }

    /// What the browser complained of, but for requests that the node refused.
    pub fn complaints(&self) -> Vec<String> {
        let all = self.post("/se/log", &json!({"type": "browser"}));
        let all = all.as_array().cloned().unwrap_or_default();
        let told = all.iter().filter_map(|entry| entry["message"].as_str());
        told.filter(|message| !message.contains("Failed to load resource"))
            .map(str::to_owned)
            .collect()
    }

    /// Keeps a picture of the page where somebody wants to look at it.
    pub fn picture(&self, of: &str) {
        let Some(folder) = std::env::var_os(PICTURES).map(PathBuf::from) else {
            return;
        };
        let mut answer = self
            .agent
            .get(format!("{}/screenshot", self.session))
            .call()
            .unwrap();
        let answer: Value = answer
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_json()
            .unwrap();
        let bytes = STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}-{of}.png", self.name)), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

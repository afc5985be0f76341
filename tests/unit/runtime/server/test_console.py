"""The console in a real browser: the chat before the echo engine, the engine's view before the toy.

Each visit also holds that nothing but the server was asked and that the browser had nothing to
complain of: see `support.browser`.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support import echo_chats
from support.browser import open_browser, overflow, violations, visit
from support.http_server import HttpServer, echo_engine
from support.tiny import tiny_tokenizer
from support.toy_engine import SLOW, toy_engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KEY = "sk-let-me-in"
LONG = " ".join("abcdefghij" * 4)
PROMPT = [*range(1, 18)]
PHONE = {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return echo_chats.write_folder(tmp_path_factory.mktemp("model") / "parrot")


@pytest.fixture(scope="module")
def parrot(model: Path) -> Iterator[HttpServer]:
    """Answers with what the user said, slowly enough to be seen."""
    with HttpServer(echo_engine("--step-seconds", "0.05"), model=model) as server:
        yield server


@pytest.fixture(scope="module")
def toy() -> Iterator[HttpServer]:
    with HttpServer(toy_engine, kv_cache_tokens=256) as server:
        yield server


@pytest.fixture
def chat(browser: Browser, parrot: HttpServer) -> Iterator[Page]:
    with visit(browser, parrot.url) as page:
        expect(page.get_by_text("parrot is ready")).to_be_visible()
        yield page


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answers(page: Page):
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name="Answer"))


def said(page: Page):
    return answers(page).last.locator(".text")


def numbers(page: Page) -> dict[str, str]:
    """What is told below the last answer, once it is there."""
    told = answers(page).last.locator(".numbers")
    expect(told).to_be_visible()
    names, values = told.locator("dt").all_inner_texts(), told.locator("dd").all_inner_texts()
    return dict(zip(names, values, strict=True))


# --- chat


def test_an_answer_streams_and_tells_its_tokens_and_timings(chat: Page):
    say(chat, LONG)
    expect(said(chat)).to_have_text(re.compile("^a b c.{0,40}$"))
    expect(said(chat)).to_have_text(LONG)
    told = numbers(chat)
    ids = tiny_tokenizer().encode(LONG, add_special_tokens=True)
    assert int(told["prompt"]) == int(told["completion"]) == len(ids) + 1
    assert int(told["cached"]) == len(ids) // 16 * 16
    assert told["ended by"] == "stop"
    assert float(told["tokens/s"]) > 1
    assert re.fullmatch(r"\d+ ms|[\d.]+ s", told["first token"])
    expect(chat.locator("#announcer")).to_have_text(f"Answer: {LONG}")


def test_a_stopped_answer_keeps_what_had_come_and_the_engine_forgets_it(
    chat: Page, parrot: HttpServer
):
    say(chat, LONG)
    expect(answers(chat)).to_contain_text("a b c")
    chat.get_by_role("button", name="Stop").click()
    assert numbers(chat)["ended by"] == "you"
    assert LONG not in answers(chat).inner_text()
    parrot.poll("/metrics", lambda _: parrot.metric("radixloom:num_running_reqs") == 0)
    say(chat, "go on")
    expect(said(chat)).to_contain_text("go on")
    assert numbers(chat)["ended by"] == "stop"


def test_parameters_are_sent_and_what_the_server_refuses_is_told_in_its_words(chat: Page):
    chat.get_by_label("Max tokens").fill("2")
    say(chat, "a b c d")
    assert numbers(chat)["completion"] == "2"
    assert numbers(chat)["ended by"] == "length"
    chat.get_by_label("Temperature").fill("1")
    chat.get_by_label("Stop at").fill("b")
    say(chat, "a b c d")
    assert numbers(chat)["ended by"] == "stop"


def test_an_error_is_told_as_the_server_said_it(browser: Browser, parrot: HttpServer):
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": "parrot", "temperature": 9, "messages": messages}
    error = parrot.client.post("/v1/chat/completions", json=body).json()["error"]
    with visit(browser, parrot.url, refusals=1) as page:
        page.get_by_label("Temperature").fill("9")
        say(page, "hello")
        alert = page.locator(".problem[role=alert]")
        expect(alert).to_contain_text(error["message"])
        expect(alert).to_contain_text("Error 400")
        expect(page.get_by_label("Message", exact=True)).to_have_value("hello")
        expect(answers(page)).to_have_count(0)


def test_reasoning_is_folded_away(chat: Page):
    chat.get_by_label("Thinking").select_option("on")
    say(chat, "<think>because</think>so")
    expect(answers(chat)).to_contain_text("so")
    thought = chat.get_by_text("because", exact=True)
    expect(thought).to_be_hidden()
    answers(chat).get_by_text("Reasoning").click()
    expect(thought).to_be_visible()


def test_code_and_emphasis_are_shown_and_html_is_text(chat: Page):
    say(chat, "**so** `x` <b id=evil>\n```py\na = 1\n```\nend")
    numbers(chat)
    answer = answers(chat)
    expect(answer.locator("strong")).to_have_text("so")
    expect(answer.locator("pre code")).to_have_text("a = 1")
    expect(answer).to_contain_text("<b id=evil>")
    expect(chat.locator("#evil")).to_have_count(0)


def test_the_curl_command_is_the_request(chat: Page, parrot: HttpServer):
    chat.get_by_label("System prompt").fill("It's short")
    say(chat, "it's me")
    numbers(chat)
    answers(chat).get_by_text("As a curl command").click()
    command = shlex.split(answers(chat).locator(".curl pre").inner_text())
    assert (command[0], command[2]) == ("curl", f"{parrot.url}/v1/chat/completions")
    body = json.loads(command[command.index("-d") + 1])
    assert body["messages"] == [
        {"role": "system", "content": "It's short"},
        {"role": "user", "content": "it's me"},
    ]
    assert parrot.client.post(command[2], json=body | {"stream": False, "stream_options": None})


def test_the_conversation_goes_on_after_a_reload_until_a_new_one_begins(chat: Page):
    say(chat, "one")
    numbers(chat)
    chat.reload()
    expect(answers(chat)).to_contain_text("one")
    say(chat, "two")
    expect(answers(chat).last).to_contain_text("onetwo")  # the parrot repeats all of the user's
    numbers(chat)
    chat.get_by_role("button", name="New conversation").click()
    expect(chat.get_by_role("article")).to_have_count(0)
    say(chat, "three")
    numbers(chat)
    expect(answers(chat).locator(".text")).to_have_text("three")


def test_where_the_server_wants_a_key_the_page_asks_for_one(browser: Browser, model: Path):
    with (
        HttpServer(echo_engine(), model=model, api_key=KEY) as locked,
        visit(browser, locked.url, refusals=2) as page,
    ):
        field = page.get_by_role("textbox", name="API key")
        expect(field).to_be_focused()
        expect(page.locator("#key-message")).to_contain_text("wants an API key, found none")
        page.wait_for_timeout(100)
        assert violations(page) == []
        field.fill("sk-wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-message")).to_contain_text("none of this server's")
        field.fill(KEY)
        page.keyboard.press("Enter")
        expect(page.get_by_text("parrot is ready")).to_be_visible()
        say(page, "hello")
        expect(answers(page)).to_contain_text("hello")
        numbers(page)
        assert KEY not in page.locator(".curl pre").inner_text(timeout=1000)


def test_everything_is_reached_by_the_keyboard_alone(chat: Page):
    def focused() -> str:
        return chat.evaluate("document.activeElement.id || document.activeElement.textContent")

    path: list[str] = []
    while "prompt" not in path and len(path) < 30:
        chat.keyboard.press("Tab")
        path.append(focused())
    assert path[:4] == ["tab-chat", "key-button", "theme", "transcript"]
    assert path[-1] == "prompt"
    chat.keyboard.type(LONG)
    chat.keyboard.press("Enter")
    expect(answers(chat)).to_contain_text("a b c")
    chat.keyboard.press("Escape")
    assert numbers(chat)["ended by"] == "you"
    assert focused() == "prompt"
    chat.keyboard.press("Shift+Enter")
    assert chat.get_by_label("Message", exact=True).input_value() == "\n"
    chat.get_by_role("tab", name="Chat").focus()
    chat.keyboard.press("ArrowRight")
    assert focused() == "tab-engine"
    expect(chat.get_by_role("tabpanel", name="Engine")).to_be_visible()
    chat.keyboard.press("Home")
    expect(chat.get_by_role("tabpanel", name="Chat")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chat_has_nothing_that_axe_finds_wrong(browser: Browser, parrot: HttpServer, scheme: str):
    with visit(browser, parrot.url, color_scheme=scheme, reduced_motion="reduce") as page:
        expect(page.get_by_text("parrot is ready")).to_be_visible()
        assert violations(page) == []
        say(page, "`code` and words")
        numbers(page)
        page.get_by_text("As a curl command").click()
        assert violations(page) == []


def test_the_theme_can_be_chosen_and_is_kept(chat: Page):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = chat.evaluate(ground)
    button = chat.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(button).to_have_text("Dark")
    dark = chat.evaluate(ground)
    assert dark != light
    chat.reload()
    assert chat.evaluate(ground) == dark


def test_who_wants_less_motion_sees_none(browser: Browser, parrot: HttpServer):
    motion = "getComputedStyle(document.querySelector('.is-open .text'), '::after').animationName"
    for wanted, name in (("no-preference", "blink"), ("reduce", "none")):
        with visit(browser, parrot.url, reduced_motion=wanted) as page:
            say(page, LONG)
            page.wait_for_selector(".is-open")
            assert page.evaluate(motion) == name
            page.keyboard.press("Escape")
            expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_a_server_that_starts_says_how_far_it_is(browser: Browser):
    launch = echo_engine("--start-seconds", "30")
    with HttpServer(launch, wait=False) as server:
        server.poll("/startupz", lambda answer: answer.json()["phase"] == "weights")
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        expect(page.get_by_role("status").first).to_have_text("starting: weights 50 %")
        context.close()


# --- engine


def complete(server: HttpServer, prompt: list[int], max_tokens: int = 1) -> None:
    body = {"model": "tiny_tokenizer", "prompt": prompt, "max_tokens": max_tokens}
    answer = server.client.post("/v1/completions", json=body | {"ignore_eos": True})
    assert answer.status_code == 200


def now(page: Page, figure: str) -> str:
    return page.locator(f"#chart-{figure} .now").inner_text()


def test_the_tree_shows_what_was_cached(browser: Browser, toy: HttpServer):
    toy.client.post("/flush_cache")
    with visit(browser, toy.url, path="/#engine") as page:
        expect(page.locator("#tree-summary")).to_contain_text("Nothing is cached")
        complete(toy, [*PROMPT, 20])
        complete(toy, [*PROMPT[:8], *range(30, 39)])
        tree = page.get_by_role("region", name="Cached prefixes")
        shared = tree.locator("> ul > li > .node")
        text = tiny_tokenizer().decode(PROMPT[:8], skip_special_tokens=False)
        expect(shared.locator(".start")).to_have_text(text.replace("\n", "↵"))
        expect(shared.locator(".about")).to_have_text("8 tokens · 2 pages · 1 hit")
        expect(tree.locator("ul ul > li")).to_have_count(2)
        expect(page.locator("#tree-summary")).to_contain_text("24 tokens cached, in 3 nodes")
        expect(page.locator("#flame div")).to_have_count(3)
        pin = toy.client.post("/pin_prefix", json={"prompt": PROMPT[:8]}).json()
        expect(shared.locator(".about")).to_contain_text("in use by 1 · pinned")
        toy.client.post("/unpin_prefix", json={"id": pin["id"]})


def test_another_machine_sees_the_tree_without_its_words(browser: Browser, toy: HttpServer):
    toy.client.post("/flush_cache")
    complete(toy, PROMPT)
    far = {"x-forwarded-for": "10.0.0.7"}  # of which the server takes the word of this machine
    with visit(browser, toy.url, path="/#engine", extra_http_headers=far) as page:
        node = page.locator("#tree .node")
        expect(node).to_have_count(1)  # what is told may be a second old
        expect(node.locator(".start")).to_have_text("told on the server's own machine only")
        expect(node.locator(".about")).to_contain_text("16 tokens · 4 pages")


def test_the_charts_move_and_are_told_in_words(browser: Browser, toy: HttpServer):
    with visit(browser, toy.url, path="/#engine") as page:
        drawing = page.get_by_role("img", name=re.compile("Output tokens.s, last two minutes"))
        expect(drawing).to_have_attribute("aria-label", re.compile(r"now 0\.0,"))
        before = page.locator("#chart-output .series-0 .line").get_attribute("d") or ""
        complete(toy, [SLOW], max_tokens=100)
        expect(drawing).to_have_attribute("aria-label", re.compile(r"most [1-9]"))
        after = page.locator("#chart-output .series-0 .line").get_attribute("d") or ""
        assert after.count("L") > before.count("L")
        page.get_by_text("The last two minutes in figures").click()
        row = page.get_by_role("row", name=re.compile("Output tokens.s"))
        assert re.search(r"[1-9]", row.inner_text())
        expect(page.get_by_role("term").filter(has_text="device")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_engines_view_has_nothing_that_axe_finds_wrong(
    browser: Browser, toy: HttpServer, scheme: str
):
    complete(toy, [*PROMPT, 20])
    with visit(browser, toy.url, path="/#engine", color_scheme=scheme) as page:
        expect(page.locator("#tree .node").first).to_be_visible()
        page.get_by_text("The last two minutes in figures").click()
        assert violations(page) == []


def test_a_phones_width_is_enough_for_both_views(browser: Browser, toy: HttpServer):
    complete(toy, [*PROMPT, 20])
    with visit(browser, toy.url, viewport=PHONE) as page:
        expect(page.get_by_text("tiny_tokenizer is ready")).to_be_visible()
        assert overflow(page) == 0
        page.get_by_text("Parameters").click()
        assert overflow(page) == 0
        page.get_by_role("tab", name="Engine").click()
        expect(page.locator("#tree .node").first).to_be_visible()
        page.get_by_text("The last two minutes in figures").click()
        assert overflow(page) == 0


def test_the_engine_is_asked_only_while_its_view_is_open(browser: Browser, toy: HttpServer):
    with visit(browser, toy.url, path="/#engine") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        with page.expect_response(re.compile("get_engine_stats")):
            pass
        page.get_by_role("tab", name="Chat").click()
        page.wait_for_timeout(100)
        asked.clear()
        page.wait_for_timeout(1500)
        assert [url for url in asked if "/get_" in url] == []

"""Every MCP tool and prompt, asked by the official Python SDK, over the pipe and over HTTP.

    python mcp_client.py SUPPRESSD FIXTURES

SUPPRESSD is the program, FIXTURES the folder of that name in the repository. The SDK itself checks each structured
result against the schema that the server declares for it. Needs no network: Notion is the one of `suppressd demo`.
"""

import asyncio
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, closing
from pathlib import Path

from mcp import Client, MCPError, StdioServerParameters

TOOLS = {
    "check_suppression",
    "explain",
    "build_canonical_keys",
    "sync_suppression_cache",
    "validate_notion_schema",
    "cache_status",
    "list_issues",
}
PROMPTS = {"check-suppression", "sync-suppression-cache", "validate-notion-schema"}

# The two ways of the protocol: the handshake of old, and each request by itself.
MODES = ("legacy", "auto")

# Longer than anything here takes.
PATIENCE_SECONDS = 180


async def good(client, tool, arguments=None, progress=None):
    """Calls a tool, and returns what it says to machines."""
    result = await client.call_tool(tool, arguments or {}, progress_callback=progress)
    assert not result.is_error, f"{tool}: {result}"
    assert result.structured_content is not None, f"{tool}: {result}"
    assert result.content and result.content[0].text, f"{tool}: {result}"
    return result.structured_content


async def bad(client, tool, arguments, told):
    """Calls a tool in a wrong way, and looks for why that is wrong."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error and told in result.content[0].text, f"{tool}: {result}"


async def describes_itself(client):
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == TOOLS, tools
    for name, tool in tools.items():
        assert tool.output_schema and tool.description and tool.annotations, name
        assert tool.annotations.read_only_hint is (name != "sync_suppression_cache"), name
    assert tools["sync_suppression_cache"].annotations.destructive_hint is False

    prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
    assert set(prompts) == PROMPTS, prompts
    given = {"check-suppression": {"company": "acme.ai"}, "sync-suppression-cache": {"dry_run": "true"}}
    for name in PROMPTS:
        arguments = given.get(name, {})
        prompt = await client.get_prompt(name, arguments)
        assert prompt.messages[0].content.text, name


async def refuses(client):
    await bad(client, "check_suppression", {}, "nothing was asked")
    await bad(client, "check_suppression", {"query": "???"}, "no answer")
    await bad(client, "check_suppression", {"domian": "acme.ai"}, "unknown field")
    await bad(client, "list_issues", {"kinds": ["worries"]}, "no such kind")
    try:
        await client.call_tool("nothing_of_the_kind", {})
    except MCPError as error:
        assert "unknown tool" in str(error), error
    else:
        raise AssertionError("an unknown tool was called")


async def answers(client, key, verdicts):
    """Asks what needs no Notion; `key` is one of the cache."""
    checked = await good(client, "check_suppression", {"query": key})
    assert checked["results"][0]["verdict"] in verdicts, checked
    many = {"queries": [key, "domain:nobody.example", "???"], "companies": [{"name": "Nobody at all"}]}
    results = (await good(client, "check_suppression", many))["results"]
    assert [bool(result["error"]) for result in results] == [False, False, True, False], results
    explained = await good(client, "explain", {"query": key})
    assert explained["keys"][0]["key"] == key, explained
    keys = await good(client, "build_canonical_keys", {"website": "https://www.acme.ai/about"})
    assert keys["keys"][0]["key"] == "domain:acme.ai", keys
    status = await good(client, "cache_status")
    assert status["cache"]["entries"] > 0, status
    issues = await good(client, "list_issues", {"limit": 5})
    assert issues["counts"], issues
    schema = await good(client, "validate_notion_schema")
    assert schema["sources"], schema


async def sweeps(client, dry_run):
    told = []

    async def progress(done, total, message):
        told.append(done)

    report = await good(client, "sync_suppression_cache", {"dry_run": dry_run}, progress)
    assert report["outcome"] == "complete" and report["dry_run"] is dry_run, report
    assert report["entries_processed"] > 0, report
    assert told and told == sorted(set(told)), told


@asynccontextmanager
async def demo(program):
    """A `serve` against a simulated Notion; its address and its database."""
    process = await asyncio.create_subprocess_exec(
        program, "demo", "--for", "5m", "--seed", "7", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        said = ""
        while "--db-path" not in said:
            line = await process.stdout.readline()
            assert line, f"the demo ended: {said}"
            said += line.decode()
        address = re.search(r"answers on (http://[0-9.:]+)", said).group(1)
        database = re.search(r"--db-path (\S+)", said).group(1)
        reading = asyncio.create_task(process.stdout.read())
        yield address.rstrip("."), database
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.terminate()
        await process.wait()
    await reading


def stdio(program, database):
    return StdioServerParameters(command=program, args=["--db-path", database, "mcp"])


def a_key_of(database):
    """A key that the cache holds now; a moment later its page may be another one's."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT canonical_key FROM suppression_cache ORDER BY id LIMIT 1").fetchone()[0]


async def main(program, fixtures):
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "cache.db"))
        replay = [program, "--db-path", database, "replay", str(Path(fixtures, "events"))]
        subprocess.run([*replay, "--pages", str(Path(fixtures, "pages"))], check=True, capture_output=True)
        for mode in MODES:
            async with Client(stdio(program, database), mode=mode) as client:
                await describes_itself(client)
                await answers(client, "domain:saltmarsh-biologics.example", {"suppressed"})
                await refuses(client)
                await bad(client, "sync_suppression_cache", {"dry_run": True}, "NOTION_API_KEY")
            print(f"ok: the pipe, alone ({mode})")
    async with demo(program) as (address, database):
        for mode in MODES:
            async with Client(f"{address}/mcp", mode=mode) as one, Client(f"{address}/mcp", mode=mode) as other:
                await describes_itself(one)
                await refuses(one)
                # The workspace changes all the time.
                await answers(other, a_key_of(database), {"suppressed", "clear", "stale"})
                await asyncio.gather(sweeps(one, False), sweeps(other, True))
                schema = await good(other, "validate_notion_schema")
                assert schema["valid"] and schema["sources"][0]["read_from"] == "notion", schema
                status = await good(one, "cache_status")
                assert status["last_sweep"]["outcome"] == "complete", status
                nobody = await good(other, "check_suppression", {"query": "nobody.example"})
                assert nobody["results"][0]["verdict"] in ("clear", "stale"), nobody
            print(f"ok: HTTP ({mode})")
            async with Client(stdio(program, database), mode=mode) as client:
                await sweeps(client, False)
                schema = await good(client, "validate_notion_schema")
                assert schema["sources"][0]["read_from"] == "stored", schema
            print(f"ok: the pipe, beside serve ({mode})")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2]), PATIENCE_SECONDS))

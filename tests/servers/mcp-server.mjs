// An MCP server as most are, by streamable HTTP: it keeps nothing of what it sent, and gives no ids.

import { randomUUID } from "node:crypto";
import { once } from "node:events";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import express from "express";
import { z } from "zod";

import { sleep } from "../clients/world.mjs";

/** With the tool of the reference server that takes its time. */
function server() {
  const server = new McpServer({ name: "plain", version: "1.0.0" }, { capabilities: { logging: {} } });
  const inputSchema = { duration: z.number(), steps: z.number() };
  server.registerTool("trigger-long-running-operation", { inputSchema }, async ({ duration, steps }, extra) => {
    const { progressToken } = extra._meta ?? {};
    for (let progress = 1; progress <= steps; progress++) {
      await sleep((duration * 1000) / steps);
      const params = { progress, total: steps, progressToken };
      if (progressToken !== undefined) await extra.sendNotification({ method: "notifications/progress", params });
    }
    return { content: [{ type: "text", text: "Long running operation completed." }] };
  });
  return server;
}

/** Starts it. `say` tells all its clients something, outside of any call, and gives the number of that. */
export async function plain() {
  const sessions = new Map();
  const app = express().use(express.json());
  app.all("/mcp", async (request, response) => {
    const id = request.get("mcp-session-id");
    if (id && !sessions.has(id)) return response.status(404).end();
    if (id) return sessions.get(id).transport.handleRequest(request, response, request.body);
    const its = server();
    const onsessioninitialized = (id) => sessions.set(id, { its, transport });
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized });
    await its.connect(transport);
    await transport.handleRequest(request, response, request.body);
  });
  const http = app.listen(0, "127.0.0.1");
  await once(http, "listening");
  let n = 0;
  const say = () => {
    n += 1;
    for (const { its } of sessions.values()) its.sendLoggingMessage({ level: "info", data: { n } });
    return n;
  };
  const stop = () => {
    http.close();
    http.closeAllConnections();
  };
  return { port: http.address().port, say, stop };
}

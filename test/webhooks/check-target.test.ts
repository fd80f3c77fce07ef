import { describe, expect, test } from "vitest";
import { checkWebhookUrl, isPublicAddress } from "../../src/webhooks/target-rules.ts";

const PUBLIC = { privateHosts: [], allowLocalhost: false };
const DEMO = { privateHosts: [], allowLocalhost: true };
const NAMED = { privateHosts: ["hooks.internal", "10.0.0.7", "fd00::7"], allowLocalhost: false };

describe("a webhook's URL", () => {
  test.each([
    "https://example.com/webhooks",
    "https://example.com:8443/a?b=c",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]/",
    "https://bücher.example/",
    `https://example.com/${"a".repeat(2028)}`,
  ])("may be %s", (url) => {
    expect(checkWebhookUrl(url, PUBLIC)).toBeUndefined();
  });

  test.each([
    ["", "whole one"],
    ["example.com/webhooks", "whole one"],
    ["https://", "whole one"],
    ["https://exa mple.com/", "whole one"],
    ["https://exam\nple.com/", "whole one"],
    [" https://example.com/", "whole one"],
    ["https://[fe80::1%25eth0]/", "whole one"],
    ["https://256.256.256.256/", "whole one"],
    ["http://example.com/", "https://"],
    ["http://localhost:3000/", "https://"],
    ["ftp://example.com/", "https://"],
    ["file:///etc/passwd", "https://"],
    ["javascript:alert(1)", "https://"],
    ["https://user@example.com/", "user name"],
    ["https://:password@example.com/", "user name"],
    ["https://example.com./", "dot"],
    [`https://example.com/${"a".repeat(2029)}`, "2048"],
  ])("may not be %j, and the answer says why", (url, reason) => {
    expect(checkWebhookUrl(url, PUBLIC)).toContain(reason);
  });

  test.each([
    ["loopback", "https://127.0.0.1/"],
    ["loopback, another", "https://127.8.9.10/"],
    ["with a trailing dot", "https://127.0.0.1./"],
    ["short", "https://127.1/"],
    ["decimal", "https://2130706433/"],
    ["hex", "https://0x7f000001/"],
    ["hex parts", "https://0x7f.0x0.0x0.0x1/"],
    ["octal", "https://0177.0.0.1/"],
    ["mixed", "https://0x7f.1/"],
    ["full-width digits", "https://１２７.０.０.１/"],
    ["percent-encoded", "https://%31%32%37.0.0.1/"],
    ["unspecified", "https://0.0.0.0/"],
    ["zero", "https://0/"],
    ["private", "https://10.1.2.3/"],
    ["private, 172", "https://172.31.255.255/"],
    ["private, 192", "https://192.168.0.1/"],
    ["carrier", "https://100.64.0.1/"],
    ["metadata", "https://169.254.169.254/latest/meta-data/"],
    ["metadata, Alibaba", "https://100.100.100.200/"],
    ["metadata, Azure's host", "https://168.63.129.16/"],
    ["metadata, decimal", "https://2852039166/"],
    ["broadcast", "https://255.255.255.255/"],
    ["multicast", "https://224.0.0.1/"],
    ["documentation", "https://203.0.113.1/"],
    ["IPv6 loopback", "https://[::1]/"],
    ["IPv6 unspecified", "https://[::]/"],
    ["IPv6 link-local", "https://[fe80::1]/"],
    ["IPv6 unique local", "https://[fd00:ec2::254]/"],
    ["IPv6 site-local", "https://[fec0::1]/"],
    ["mapped", "https://[::ffff:127.0.0.1]/"],
    ["mapped, hex", "https://[::ffff:7f00:1]/"],
    ["mapped, private", "https://[0:0:0:0:0:ffff:10.0.0.1]/"],
    ["compatible", "https://[::127.0.0.1]/"],
    ["translated", "https://[::ffff:0:127.0.0.1]/"],
    ["NAT64", "https://[64:ff9b::127.0.0.1]/"],
    ["NAT64, metadata", "https://[64:ff9b::a9fe:a9fe]/"],
    ["NAT64, local", "https://[64:ff9b:1::808:808]/"],
    ["6to4", "https://[2002:7f00:1::]/"],
    ["Teredo", "https://[2001:0:7f00:1::]/"],
    ["localhost", "https://localhost/"],
    ["localhost, in capitals", "https://LOCALHOST/"],
    ["below localhost", "https://a.localhost/"],
  ])("may not lead inside: %s", (_, url) => {
    expect(checkWebhookUrl(url, PUBLIC)).toContain("public address");
    // Nor by naming other hosts.
    expect(checkWebhookUrl(url, NAMED)).toContain("public address");
  });

  test("may be plain http, and private, for the hosts that the operator named, and for those alone", () => {
    for (const host of ["hooks.internal", "HOOKS.internal:8080", "10.0.0.7", "[fd00::7]", "[FD00:0::7]:81"]) {
      expect(checkWebhookUrl(`http://${host}/`, NAMED)).toBeUndefined();
    }
    expect(checkWebhookUrl("http://a.hooks.internal/", NAMED)).toContain("https://");
    expect(checkWebhookUrl("https://10.0.0.8/", NAMED)).toContain("public address");
    expect(checkWebhookUrl("http://user@hooks.internal/", NAMED)).toContain("user name");
  });

  test("may lead to this machine in the demo, and not elsewhere inside", () => {
    for (const host of ["localhost:4000", "127.0.0.1:4000", "[::1]:4000"]) {
      expect(checkWebhookUrl(`http://${host}/`, DEMO)).toBeUndefined();
    }
    expect(checkWebhookUrl("https://10.0.0.7/", DEMO)).toContain("public address");
    expect(checkWebhookUrl("https://127.0.0.2/", DEMO)).toContain("public address");
    expect(checkWebhookUrl("http://a.localhost/", DEMO)).toContain("https://");
  });
});

describe("a public address", () => {
  test.each(["8.8.8.8", "::ffff:8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])("is %s", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test.each(["", "localhost", "10.0.0.1", "::1", "fe80::1%eth0", "2606:4700::1%eth0", "64:ff9b::7f00:1"])(
    "is not %j",
    (address) => {
      expect(isPublicAddress(address)).toBe(false);
    },
  );
});

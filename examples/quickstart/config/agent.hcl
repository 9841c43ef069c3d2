# The agent of the quick start.
connect {
  enabled = true

  proxy {
    # Without this an agent that runs as root starts no proxies. On a machine of your own run the
    # agent as an ordinary user instead.
    allow_managed_root = true
  }
}

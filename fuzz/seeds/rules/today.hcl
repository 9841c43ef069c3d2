acl = "read"
operator = "write"
key_prefix "app/" { policy = "list" }
key "app/secret" { policy = "deny" }
service_prefix "" { policy = "read" }
service "web" {
  policy = "write"
  intentions = "read"
}
node_prefix "" { policy = "read" } # all

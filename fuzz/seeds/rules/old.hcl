key "" { policy = "read" }
service "web" { policy = "write" }
keyring = "deny" /* none */
query "q" { policy = "write" }

# The web server finds its database at 127.0.0.1:9191; its proxy does the rest.
service {
  name = "web"
  port = 8080

  connect {
    proxy {
      config {
        upstreams = [
          { destination_name = "db", local_bind_port = 9191 },
        ]
      }
    }
  }
}

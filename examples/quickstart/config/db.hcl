# A service like any other, but for its last line: that one puts it into the mesh.
service {
  name = "db"
  port = 7000

  connect { proxy {} }
}

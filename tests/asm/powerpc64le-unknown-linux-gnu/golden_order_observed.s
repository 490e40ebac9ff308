    sync
    blr

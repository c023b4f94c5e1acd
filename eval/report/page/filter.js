for (const input of document.querySelectorAll(".claim-filter input")) {
  input.addEventListener("change", () => {
    for (const table of document.querySelectorAll(".claims")) {
      table.dataset.show = input.value;
      const rows = [...table.tBodies[0].rows];
      const shown = rows.filter((row) => !input.value || row.dataset.state === input.value).length;
      table.caption.textContent = shown === rows.length ? `${rows.length} claims` : `${shown} of ${rows.length} claims`;
    }
  });
}
